"""Preflight of the method: what it cannot be combined with, tried with peft 0.21 and bitsandbytes 0.50, and values that are known to diverge."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.problem import Problem, Severity

HIGH_SCALE, LOW_SCALE = 8, 0.5
FIXED_ALPHA = 32  # one school keeps it at any rank and leaves the learning rate alone
HIGH_RANK = 64
TOO_FAST = 5  # times the default; a third of that to spare past rank 64, where runs have diverged
TOO_FAST_AT_HIGH_RANK = 3
NARROW = 8


def check_methods(ground: Ground) -> Iterator[Problem]:
    """Method against quantization, architecture, alpha and learning rate."""
    yield from chain(_pissa(ground), _dora(ground), _experts(ground), _scale(ground), _rate(ground))


def _pissa(ground: Ground) -> Iterator[Problem]:
    spec, shapes = ground.spec, ground.shapes
    if spec.method != "pissa":
        return
    if spec.quantization:
        text = "PiSSA starts from a decomposition of the base weights, so the base cannot be quantised."
        fix = "Leave quantization at None, or choose QLoRA."
        yield Problem("pissa_quantised", "blocking", text, fix, "quantization", {"quantization": None})
    targets = shapes.targets(spec.target_modules) if shapes and shapes.known and not shapes.experts else ()
    narrow = {one.name: min(one.inputs, one.outputs) for one in targets if min(one.inputs, one.outputs) < spec.rank}
    if not narrow:
        return
    least = min(narrow.values())
    text = f"PiSSA needs as many singular values as its rank {spec.rank}; {', '.join(narrow)} has {least}."
    rest = tuple(one.name for one in targets if one.name not in narrow)
    if rest and least < NARROW:
        fix, changes = f"Adapt the others: {', '.join(rest)}.", {"target_modules": rest}
        yield Problem("pissa_narrow", "blocking", text, fix, "target_modules", changes)
    else:
        yield Problem("pissa_narrow", "blocking", text, f"rank={least} fits.", "rank", {"rank": least})


def _dora(ground: Ground) -> Iterator[Problem]:
    spec = ground.spec
    if spec.method == "dora" and spec.quantization == "int8" and spec.basis.device == "cpu":
        text = "DoRA on an int8 base fails at its second step on a CPU: peft's copy of the weights loses their scales."
        fix = "nf4 works, and is smaller."
        yield Problem("dora_int8", "blocking", text, fix, "quantization", {"quantization": "nf4"})


def _experts(ground: Ground) -> Iterator[Problem]:
    """peft adapts fused experts through a wrapper that knows plain LoRA alone."""
    spec, shapes = ground.spec, ground.shapes
    if shapes is None or shapes.experts is None:
        return
    if spec.method == "pissa":
        text = f"PiSSA changes the base by rounding, and in {shapes.family} that sends tokens to other experts: its adapter would not answer as trained."
        yield Problem("experts_pissa", "blocking", text, "LoRA trains here.", "method", {"method": "lora"})
        return
    if not (shapes.experts.adaptable and spec.target_modules == "all-linear"):
        return
    if spec.method == "dora":
        names = tuple(one.name for one in shapes.targets("all-linear"))
        text = f"peft cannot put DoRA on the fused experts of {shapes.family}."
        fix = f"Adapt the layers outside the experts ({', '.join(names)}), or choose LoRA for all of them."
        yield Problem("experts_dora", "blocking", text, fix, "target_modules", {"target_modules": names})
    elif spec.dropout:
        text = f"peft's adapters of the fused experts of {shapes.family} cannot drop anything."
        yield Problem("experts_dropout", "blocking", text, "dropout=0.", "dropout", {"dropout": 0.0})


def _scale(ground: Ground) -> Iterator[Problem]:
    spec = ground.spec
    usual = 2 * (spec.rank**0.5 if spec.method == "rslora" else spec.rank)
    if spec.scale > HIGH_SCALE:
        text = f"The adapter's effective scale is {spec.scale:g}; 2 is usual. Alpha may have been left behind when the rank was changed."
        yield Problem("scale_high", "warning", text, f"alpha={usual:g} gives scale 2.", "alpha", {"alpha": usual})
    elif spec.scale < LOW_SCALE and spec.method != "pissa":
        fixed = spec.alpha == FIXED_ALPHA
        text = f"The adapter's effective scale is {spec.scale:.2g}; 2 is usual. Alpha may have been left behind when the rank was raised."
        text += " Alpha 32 at any rank is a school of its own, and then the learning rate stays." if fixed else ""
        severity: Severity = "info" if fixed else "warning"
        yield Problem("scale_low", severity, text, f"alpha={usual:g} gives scale 2.", "alpha", {"alpha": usual})


def _rate(ground: Ground) -> Iterator[Problem]:
    spec = ground.spec
    default = spec.explain_defaults()["learning_rate"]
    times = spec.learning_rate / default.value
    if times > TOO_FAST or (spec.rank > HIGH_RANK and times > TOO_FAST_AT_HIGH_RANK):
        text = f"The learning rate is {times:.2g} times what is usual for {spec.method} at rank {spec.rank} and alpha {spec.alpha:g}."
        fix = f"learning_rate={default.value:g}, or find yours: studio.sweep(spec)."
        yield Problem("rate_high", "warning", text, fix, "learning_rate", {"learning_rate": default.value})
