"""Preflight of the loop: whether the fast one can be had where it was asked for, and what packing does without it."""

from __future__ import annotations

from collections.abc import Iterator

from peft_studio.core.estimators.memory import takes_fast_loop
from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.problem import Problem
from peft_studio.core.services.check.targets import ENDS


def check_loop(ground: Ground) -> Iterator[Problem]:
    """As far as config.json and the spec can tell; the run itself proves it on its rows."""
    spec = ground.spec
    reason = why_not_fast(ground)
    if reason is None:
        return
    if spec.loop == "fast":
        yield Problem(
            "fast_not_here",
            "blocking",
            f"The fast loop cannot be used: {reason}.",
            "loop='auto'.",
            "loop",
            {"loop": "auto"},
        )
    if spec.packing:
        text = (
            f"Packed rows are padded again in the reference loop ({reason}): as far apart as they lie in length, "
            "so much more memory a micro-batch takes, and nothing is gained."
        )
        yield Problem("packing_padded", "warning", text, "Leave packing off.", "packing", {"packing": False})
    window = _sliding_window(ground)
    if (
        window
        and spec.loop == "auto"
        and spec.max_length > window
        and ground.shapes
        and takes_fast_loop(spec, ground.shapes, spec.basis.device)
    ):
        text = f"Attention slides over {window:,} tokens and rows may be longer, so the slower reference loop is taken."
        fix = f"max_length={window} lets the fast one be tried, and cuts longer rows."
        yield Problem("sliding_window", "info", text, fix, "max_length", {"max_length": window})


def why_not_fast(ground: Ground) -> str | None:
    """Why the run will take the reference loop; None while nothing is known that speaks against the fast one."""
    spec, shapes = ground.spec, ground.shapes
    if spec.loop == "reference":
        return "it was asked for"
    if shapes is None:
        return None
    if not takes_fast_loop(spec, shapes, spec.basis.device):
        on = f" on {spec.basis.device}" if spec.basis.device != "cpu" else ""
        quantised = f", {spec.quantization} in {spec.precision}" if spec.quantization else ""
        return f"it does not know {shapes.family}{on}{quantised}"
    if not isinstance(spec.target_modules, str) and ENDS & {name.rsplit(".", 1)[-1] for name in spec.target_modules}:
        return "an end of the model is adapted"
    window = _sliding_window(ground)
    if window and spec.max_length > window:
        return f"attention slides over {window:,} tokens and rows may be longer"
    return None


def _sliding_window(ground: Ground) -> int | None:
    """The window, where some layer of the model has one."""
    config = ground.config
    window = config.get("sliding_window")
    slides = "sliding_attention" in (config.get("layer_types") or ()) or config.get("model_type") == "mistral"
    return window if isinstance(window, int) and slides else None
