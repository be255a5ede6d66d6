"""What was expected of a run when it was launched: ``prediction.json`` in its folder.

Written once, by whoever creates the run, before an agent is started; read by panels, by the record of how good estimates are, and for the
time left of what has not happened yet. A run without one (of an older version, or made by a script) is as good a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from peft_studio.core.estimators import Estimate
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.system import write_private

VERSION = 1


@dataclass(frozen=True, slots=True)
class Prediction:
    """A quote as it stood at launch.

    Attributes:
        device, family, method: What corrections are learned for.
        memory, duration, cost: As they were shown; None where nothing was known.
        raw: "memory" and the parts of the duration before any correction: what is learned from.
        each: Seconds of one "checkpoint", "evaluation", "sample" and of "export".
    """

    device: str
    family: str
    method: str
    memory: Estimate | None
    duration: Estimate | None
    cost: Estimate | None
    raw: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    each: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


def save_prediction(folder: RunFolder, prediction: Prediction) -> None:
    """Write it, whole or not at all."""
    values = {
        name: _dump(value) if isinstance(value, Estimate) else dict(value) if isinstance(value, Mapping) else value
        for name in Prediction.__slots__
        for value in [getattr(prediction, name)]
    }
    write_private(folder.prediction, json.dumps({"version": VERSION, **values}, indent=2) + "\n")


def find_prediction(folder: RunFolder) -> Prediction | None:
    """What was expected of a run; None where it does not say, or says it in a way this version cannot read."""
    try:
        stat = folder.prediction.stat()
    except OSError:
        return None
    return _read(folder.prediction, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _read(path: Path, _changed_ns: int) -> Prediction | None:
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if raw["version"] != VERSION:
            return None
        estimates = {name: _load(raw[name]) for name in ("memory", "duration", "cost")}
        return Prediction(
            device=str(raw["device"]), family=str(raw["family"]), method=str(raw["method"]), **estimates,
            raw=MappingProxyType({name: float(value) for name, value in raw["raw"].items()}),
            each=MappingProxyType({name: float(value) for name, value in raw["each"].items()}),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return None


def _dump(estimate: Estimate) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return str(value) if isinstance(value, Decimal) else value

    values = {name: plain(getattr(estimate, name)) for name in ("value", "low", "high", "unit", "basis")}
    return {**values, "parts": {name: plain(value) for name, value in estimate.parts.items()}}


def _load(raw: dict[str, Any] | None) -> Estimate | None:
    if raw is None:
        return None
    number = Decimal if raw["unit"] == "usd" else float
    value, low, high = (number(raw[name]) for name in ("value", "low", "high"))
    parts = MappingProxyType({str(name): number(one) for name, one in raw["parts"].items()})
    return Estimate(value, low, high, raw["unit"], str(raw["basis"]), parts)
