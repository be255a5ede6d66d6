"""All defaults together, and why a spec's fields have their values. Pure: facts and choices in, values with reasons out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from typing import Any

from peft_studio.core.defaults.adapter import derive_adapter, derive_dropout
from peft_studio.core.defaults.default import Default
from peft_studio.core.defaults.hardware import derive_hardware, derive_method
from peft_studio.core.defaults.rate import derive_rate
from peft_studio.core.defaults.schedule import derive_schedule, derive_warmup
from peft_studio.core.defaults.trade_offs import METHODS, QUANTIZATIONS
from peft_studio.core.spec import Basis, RunSpec

NOT_EXPLAINED = frozenset({"version", "basis", "chosen", "data", "name", "tags"})
MOST_STEPS_AT_RISK = 50


def derive_defaults(basis: Basis, chosen: Mapping[str, Any]) -> dict[str, Default]:
    """A default for every derived field, given the facts and the fields that a person set (which steer the others).

    In the order in which they depend on each other: a field follows the chosen or derived values of those before it.
    """
    by_fit = derive_method(basis, chosen)
    method = chosen.get("method", by_fit.value)
    found = {"method": by_fit} | derive_adapter(method, basis, chosen) | derive_hardware(method, basis, chosen)
    found |= derive_schedule(method, basis, chosen)
    values = {**{name: default.value for name, default in found.items()}, **chosen}
    found["learning_rate"] = derive_rate(method, basis, rank=int(values["rank"]), alpha=float(values["alpha"]))
    found["dropout"] = derive_dropout(method, basis, epochs=float(values["epochs"]), targets=values["target_modules"])
    return found | _by_steps(_planned_steps(basis, values))


def explain_spec(spec: RunSpec) -> dict[str, Default]:
    """Every field of a spec with its value and why it has it; a field a person set says so, with what it would have been."""
    derived = derive_defaults(spec.basis, {name: getattr(spec, name) for name in spec.chosen})
    explained = {}
    for name in RunSpec.model_fields:
        if name in NOT_EXPLAINED:
            continue
        value, default = getattr(spec, name), derived.get(name)
        if name in spec.chosen or name == "model":
            instead = f" The default would be {default.value}." if default and default.value != value else ""
            explained[name] = Default(value, f"Set by you.{instead}", "you")
        else:
            explained[name] = default or _fixed_default(name)
    for name, meaning in (("method", METHODS[spec.method]), ("quantization", QUANTIZATIONS[spec.quantization])):
        explained[name] = replace(explained[name], why=f"{explained[name].why} {meaning}")
    return explained


def explain_defaults(spec: RunSpec) -> dict[str, Default]:
    """What every field would be if nobody had set it (the others as they are), and why. Model and data have no default."""
    derived = derive_defaults(spec.basis, {name: getattr(spec, name) for name in spec.chosen})
    names = [name for name in RunSpec.model_fields if name not in NOT_EXPLAINED - {"name", "tags"} and name != "model"]
    found = {name: derived.get(name) or _fixed_default(name) for name in names}
    return found | {"method": replace(found["method"], why=f"{found['method'].why} {METHODS[found['method'].value]}")}


def _fixed_default(name: str) -> Default:
    field = RunSpec.model_fields[name]
    return Default(field.get_default(), field.description or "As peft and transformers have it.", "PEFT Studio")


def _planned_steps(basis: Basis, values: Mapping[str, Any]) -> int | None:
    """Optimizer steps of the run, as :attr:`RunSpec.planned_steps` counts them, of values that are no spec yet."""
    batch = values["batch_size"] * values["gradient_accumulation_steps"]
    if values.get("max_steps") or not basis.train_rows:
        return values.get("max_steps")
    return max(1, int(ceil(basis.train_rows / batch) * values["epochs"]))


def _by_steps(steps: int | None) -> dict[str, Default]:
    """What follows from how long the run is."""
    save = max(1, min(MOST_STEPS_AT_RISK, ceil(steps / 10))) if steps else MOST_STEPS_AT_RISK
    return {
        "warmup_ratio": derive_warmup(steps),
        "save_steps": Default(
            save, "A crash costs at most a tenth of the run, and never more than 50 steps.", "PEFT Studio"
        ),
        "logging_steps": Default(1, "A row of numbers costs microseconds.", "measured"),
        "seed": Default(0, "Fixed, so that a run can be repeated.", "PEFT Studio"),
    }
