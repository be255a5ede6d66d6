"""Preflight of the base model: whether it is here, how long it reads, what its licence asks, whether it is quantised already."""

from __future__ import annotations

from collections.abc import Iterator

from peft_studio.core.models.licence import find_licence, is_open
from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.problem import Problem, Severity


def check_model(ground: Ground) -> Iterator[Problem]:
    """What its name and its folder tell."""
    spec, facts = ground.spec, ground.facts
    if ground.folder is None:
        text = f"{spec.model} is not on this machine yet; the run fetches it first."
        fix = "Nothing to do, or studio.prepare(model) now: it says at once if the model is gated or does not exist."
        yield Problem("model_not_here", "info", text, fix, "model")
        return
    if facts and ground.beyond_context:
        limit = facts.context_length
        text = f"max_length is {spec.max_length}; {spec.model} reads {limit} tokens at most."
        yield Problem("beyond_context", "blocking", text, f"max_length={limit}", "max_length", {"max_length": limit})
    if facts and facts.quantized and (spec.quantization or spec.method == "pissa"):
        text = f"{spec.model} is stored quantised; it cannot be quantised again, nor decomposed for PiSSA."
        plain = {"quantization": None} | ({"method": "lora"} if spec.method in {"qlora", "pissa"} else {})
        fix = "Train LoRA on it as it is, or choose the unquantised model."
        yield Problem("model_quantised", "blocking", text, fix, "quantization", plain)
    licence = find_licence(spec.model, ground.folder)
    if licence and not is_open(licence):
        bound = "not for commercial use" if "-nc" in licence else "under terms of its own"
        text = f"The base model's licence is {licence}: {bound}, and an adapter for it may be too."
        severity: Severity = "warning" if "-nc" in licence else "info"
        yield Problem("model_licence", severity, text, "Read it before you publish or sell what you train.", "model")
