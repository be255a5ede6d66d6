"""Which loop a run takes: the fast path where it was shown equal on this model and method, else the model's own forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft_studio.core.errors import SpecError
from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer import fast
from peft_studio.runner.trainer.rows import TokenRows


@dataclass(frozen=True)
class LoopChoice:
    """``fast`` is the installed fast path or None; ``bins`` are packed micro-batches or None; ``reason`` is for people.

    ``share_prefix``: tokens that all rows of a micro-batch begin with are computed once.
    """

    fast: fast.FastPath | None
    reason: str
    bins: list[list[int]] | None
    share_prefix: bool = False


def choose_loop(model: Any, spec: RunSpec, rows: TokenRows) -> LoopChoice:
    """Decide, prove it on rows of this run, and install what was decided.

    Raises:
        SpecError: ``loop="fast"`` was asked for and cannot be had.
    """
    bins = fast.pack_rows(rows.lengths(), spec.batch_size * spec.max_length, range(len(rows))) if spec.packing else None
    # With dropout each row draws its own noise on the common tokens, so they cannot be computed once.
    share_prefix = spec.dropout == 0
    reason = _against(model, spec, rows, share_prefix=share_prefix)
    if reason is None:
        return LoopChoice(
            fast.install(model), "equal to the model's own forward on rows of this run", bins, share_prefix
        )
    if spec.loop == "fast":
        raise SpecError(
            f"The fast loop cannot be used here: {reason}",
            hint="Leave loop at 'auto' to use the reference loop.",
            fields=("loop",),
        )
    return LoopChoice(None, reason, bins)


def _against(model: Any, spec: RunSpec, rows: TokenRows, *, share_prefix: bool) -> str | None:
    """Why the fast path must not be used; None when nothing speaks against it."""
    if spec.loop == "reference":
        return "the reference loop was asked for"
    if reason := fast.unsupported(model, spec):
        return reason
    sample = [rows[number] for number in range(min(spec.batch_size, len(rows)))]
    difference = fast.compare(model, sample, share_prefix=share_prefix)
    return None if difference.within else str(difference)
