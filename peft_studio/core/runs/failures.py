"""What can go wrong in a run, by code: the words for it, and the spec changes that usually help."""

from __future__ import annotations

from typing import Any

from peft_studio.core.runs.events import Failure, Suggestion
from peft_studio.core.spec import RunSpec

HINTS = {
    "out_of_memory": "Use less memory at once: the first suggestion halves the micro-batch and keeps the effective batch.",
    "loss_not_finite": "The run was stopped before the adapter was spoiled; the last good checkpoint is kept. Lower the learning rate.",
    "loss_exploded": "The run was stopped; the last good checkpoint is kept. Lower the learning rate.",
    "disk_full": "Free disk space (peft-studio doctor shows how much is left), then resume; the last whole checkpoint is kept.",
    "trainer_killed": "Resume continues from the last checkpoint. If the system ended it for lack of memory, use a suggestion.",
    "trainer_hung": "Resume continues from the last checkpoint, on another machine if it was rented. If it hangs again where several devices train together, try processes=1; one on this machine that is only that slow goes on with PEFT_STUDIO_HUNG_MIN=0.",
    "rank_lost": "Resume continues from the last checkpoint, also with another number of devices.",
    "model_missing": "Check the model's name, or download it while online.",
    "model_gated": "Accept the licence on the model's page with your account, studio.connect('huggingface') and studio.prepare(model), then resume.",
    "model_untrusted": "Choose a model in safetensors, or name repository and commit in remote_code after reading its code.",
    "data_changed": "Launch a new run on the data as it is now.",
    "no_trainable_tokens": "Open data.report(model) to see which rows have nothing to learn from.",
    "bad_template": "Open data.report(model): it names the template's problem.",
    "not_supported_here": "The message says what this machine lacks.",
    "adapter_unloadable": "The adapter was written but does not load; the checkpoints are kept. Please send a report.",
    "machine_lost": "Launch it again, or run.resume() on another offer: what was fetched before is kept. studio.spend() shows what it cost.",
    "unexpected": "The trace says where. The checkpoints are kept; resume goes on from the last one.",
}

MODEL_CODES = {
    "gated": "model_gated",
    "untrusted": "model_untrusted",
    "unsupported": "not_supported_here",
    "no-memory": "out_of_memory",
    "disk-full": "disk_full",
}
"""What ``core/models/failure.py`` says of a base model, in a run's codes."""


def of_model(code: str) -> str:
    """A run's code for what is wrong with its base model."""
    return MODEL_CODES.get(code, "model_missing")


def build_failure(
    code: str, message: str, *, spec: RunSpec | None, trace: str = "", step: int | None = None, hint: str = ""
) -> Failure:
    """A failure with its hint and the suggestions that fit this spec."""
    suggestions = suggest(code, spec) if spec else ()
    return Failure(
        code=code, message=message, hint=hint or HINTS[code], trace=trace, step=step, suggestions=suggestions
    )


def suggest(code: str, spec: RunSpec) -> tuple[Suggestion, ...]:
    """Changes to this spec that usually cure this failure, the most promising first. Each is a valid change."""
    if code in {"out_of_memory", "trainer_killed"}:
        return tuple(_less_memory(spec))
    if code in {"loss_not_finite", "loss_exploded"}:
        return tuple(_calmer(spec))
    if code == "disk_full":
        return (
            Suggestion(
                title="Keep one checkpoint",
                why="Older ones are deleted as new ones are written.",
                changes={"keep_checkpoints": 1},
            ),
        )
    return ()


def _less_memory(spec: RunSpec) -> list[Suggestion]:
    ways = []
    if spec.batch_size > 1:
        changes: dict[str, Any] = {
            "batch_size": spec.batch_size // 2,
            "gradient_accumulation_steps": spec.gradient_accumulation_steps * 2,
        }
        ways.append(
            Suggestion(
                title="Halve the micro-batch",
                why="Half the activations; accumulation keeps the effective batch.",
                changes=changes,
            )
        )
    if not spec.gradient_checkpointing:
        ways.append(
            Suggestion(
                title="Gradient checkpointing",
                why="Most activations are computed again instead of kept; steps take about a quarter longer.",
                changes={"gradient_checkpointing": True},
            )
        )
    if spec.max_length >= 256:
        ways.append(
            Suggestion(
                title="Shorter rows",
                why="Memory grows with length; longer rows are cut.",
                changes={"max_length": spec.max_length // 2},
            )
        )
    if spec.method == "lora" and spec.quantization is None:
        ways.append(
            Suggestion(
                title="QLoRA",
                why="A 4-bit base takes about a quarter of the memory.",
                changes={"method": "qlora", "quantization": "nf4"},
            )
        )
    return ways


def _calmer(spec: RunSpec) -> list[Suggestion]:
    ways = [
        Suggestion(
            title="A third of the learning rate",
            why="Too large a step is the usual cause.",
            changes={"learning_rate": spec.learning_rate / 3},
        )
    ]
    if spec.scale > 4:
        ways.append(
            Suggestion(
                title="Smaller alpha",
                why=f"The adapter's effective scale is {spec.scale:g}; 2 is usual.",
                changes={"alpha": spec.alpha * 2 / spec.scale},
            )
        )
    if spec.precision == "fp16":
        ways.append(
            Suggestion(title="Full precision", why="fp16 overflows above 65,504.", changes={"precision": "fp32"})
        )
    return ways
