"""What to give up, in which order, until a run fits the memory that is free.

LoRA → QLoRA → shorter rows → smaller micro-batches → gradient checkpointing → rows cut where the data would need more → a bigger GPU.
Pure: what a spec needs is asked of a function. Rank is never raised, the effective batch never changed, and what a person has set is only
offered to be changed. Knows nothing of how much memory there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from peft_studio.core.defaults.specs import ExplainedSpec
from peft_studio.core.estimators import Estimate, Fit, find_fit
from peft_studio.core.words import gib

Needs = Callable[[ExplainedSpec], Estimate]
ShareLonger = Callable[[int], float]
Step = tuple[str, dict[str, Any], str]  # title, changes, what it costs
SHORTEST = 128
GPU_GIB = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 141, 180)
GPU_SHARE = 0.95  # of what is printed on the card; the driver keeps the rest


@dataclass(frozen=True, slots=True)
class Rung:
    """One more thing given up, on top of those before it.

    Attributes:
        title: What it is, in a few words.
        changes: All fields that differ from the spec asked for: ``asked.replace(**changes)`` is ``spec``.
        needs: The memory that is left to need.
        costs: What is paid for it, in words.
        chosen: Fields among the changes that a person had set. With any the rung is offered, never taken by itself.
    """

    title: str
    changes: Mapping[str, Any]
    spec: ExplainedSpec
    needs: Estimate
    fit: Fit
    costs: str
    chosen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ladder:
    """Every rung in the order tried; the first is the spec as asked. Those that change what a person set come last."""

    free_bytes: int
    rungs: tuple[Rung, ...]

    @property
    def asked(self) -> Rung:
        """The spec as it was asked for."""
        return self.rungs[0]

    @property
    def first(self) -> Rung | None:
        """The first that fits; None where only a bigger GPU helps, or every rung is tight."""
        return next((rung for rung in self.rungs if rung.fit == "ok"), None)

    @property
    def tightest(self) -> Rung | None:
        """The last that at least may fit: what to try where nothing is sure to."""
        return next((rung for rung in reversed(self.rungs) if rung.fit == "tight"), None)

    @property
    def gpu_gib(self) -> int | None:
        """The smallest usual GPU on which the spec fits as asked; None when one is not enough."""
        return next((size for size in GPU_GIB if self.asked.needs.high <= size * GPU_SHARE * 2**30), None)

    def __repr__(self) -> str:
        lines = [
            f"{rung.fit:8}  {gib(rung.needs.value):>9} (to {gib(rung.needs.high)})  {rung.title}"
            + (f" (changes your {', '.join(rung.chosen)})" if rung.chosen else "")
            for rung in self.rungs
        ]
        return "\n".join([f"{gib(self.free_bytes)} is free", *lines])


def climb(spec: ExplainedSpec, *, free_bytes: int, needs: Needs, share_longer: ShareLonger | None = None) -> Ladder:
    """Try what makes a spec need less, in order.

    Args:
        free_bytes: Memory that the run may take.
        needs: The estimate of a spec, in bytes.
        share_longer: Share of the rows that have more than so many tokens; without it rows are not cut below their 95th percentile.
    """
    asked = Rung("As asked", {}, spec, found := needs(spec), find_fit(found, free_bytes), "")
    walk = _Walk(free_bytes, needs, share_longer, asked)
    own = list(walk.down(touch_chosen=False))
    offered = [rung for rung in walk.down(touch_chosen=True) if rung.chosen]
    return Ladder(free_bytes, (asked, *own, *offered))


@dataclass(frozen=True, slots=True)
class _Walk:
    free_bytes: int
    needs: Needs
    share_longer: ShareLonger | None
    asked: Rung

    def down(self, *, touch_chosen: bool) -> Iterator[Rung]:
        """Rungs that each need less than the one before."""
        at = self.asked
        # Quantising is tried twice: without checkpointing it can cost more activations than it saves weights.
        for kind in (_quantise, self._to_p95, _smaller_batches, _checkpoint, _quantise, self._below_p95):
            while (step := kind(at.spec)) is not None:
                rung = self._stand_on(at, step)
                if rung is None or (rung.chosen and not touch_chosen):
                    break
                yield rung
                at = rung

    def _stand_on(self, at: Rung, step: Step) -> Rung | None:
        """The rung that a step leads to; None when it would not need less after all."""
        title, changes, costs = step
        spec = at.spec.replace(**changes)
        # What is derived must not turn against the step: shorter rows would let a micro-batch grow, and dropout keeps masks.
        pinned = {
            name: getattr(at.spec, name) for name in _PINNED if name not in changes and _grew(name, at.spec, spec)
        }
        spec = spec.replace(**pinned) if pinned else spec
        found = self.needs(spec)
        if found.value >= at.needs.value or found.high >= at.needs.high:
            return None
        every = {**at.changes, **changes, **pinned}
        chosen = tuple(sorted(set(every) & self.asked.spec.chosen))
        return Rung(title, every, spec, found, find_fit(found, self.free_bytes), costs, chosen)

    def _to_p95(self, spec: ExplainedSpec) -> Step | None:
        p95 = spec.basis.p95_tokens
        length = max(SHORTEST, ceil((p95 or 0) / 64) * 64)
        if not p95 or length >= spec.max_length:
            return None
        return (
            f"Rows of at most {length:,} tokens",
            {"max_length": length},
            self._cut(length, "at most 5 % of the rows"),
        )

    def _below_p95(self, spec: ExplainedSpec) -> Step | None:
        length = spec.max_length // 2 // 64 * 64
        if self.share_longer is None or length < SHORTEST:
            return None
        return f"Rows of at most {length:,} tokens", {"max_length": length}, self._cut(length, "")

    def _cut(self, length: int, unknown: str) -> str:
        rows = unknown if self.share_longer is None else f"up to {self.share_longer(length):.1%} of the rows"
        return f"The ends of {rows} are cut off and not learnt."


_PINNED = ("rank", "dropout", "batch_size", "gradient_accumulation_steps", "epochs")


def _grew(name: str, before: ExplainedSpec, after: ExplainedSpec) -> bool:
    """Whether a derived field moved that must not: rank may fall with a method, the rest must stay."""
    old, new = getattr(before, name), getattr(after, name)
    return bool(new > old if name == "rank" else new != old)


def _quantise(spec: ExplainedSpec) -> Step | None:
    costs = "Steps take longer and quality drops slightly; merge into the unquantised base."
    if spec.quantization == "int8":
        return "4 bits a weight instead of 8", {"quantization": "nf4"}, "Quality drops slightly."
    if spec.quantization is not None:
        return None
    if spec.method not in {"lora", "pissa"}:
        return "A 4-bit base (nf4)", {"quantization": "nf4"}, costs
    if spec.method == "pissa":
        costs += " PiSSA's start is lost: it needs the exact weights."
    return "QLoRA: a 4-bit base", {"method": "qlora", "quantization": "nf4"}, costs


def _smaller_batches(spec: ExplainedSpec) -> Step | None:
    rows = spec.batch_size
    if rows == 1:
        return None
    smaller = next(size for size in range(rows // 2, 0, -1) if rows % size == 0)
    changes = {
        "batch_size": smaller,
        "gradient_accumulation_steps": spec.gradient_accumulation_steps * rows // smaller,
    }
    costs = "The same rows a step, in more and smaller pieces: a little slower, the same result."
    return f"Micro-batches of {smaller}", changes, costs


def _checkpoint(spec: ExplainedSpec) -> Step | None:
    if spec.gradient_checkpointing:
        return None
    costs = "Steps take about a quarter longer; the result is the same."
    return "Gradient checkpointing", {"gradient_checkpointing": True}, costs
