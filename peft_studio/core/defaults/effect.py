"""What setting a field has done to the rest of a spec, for whoever wonders whether to take it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peft_studio.core.defaults.specs import ExplainedSpec
from peft_studio.core.spec import RunSpec

_BOOKKEEPING = frozenset({"version", "basis", "chosen", "data", "model"})


@dataclass(frozen=True, slots=True)
class Effect:
    """Pairs are before and after. ``followed`` has the fields that were derived anew; ``keeps_scale`` is the alpha that
    would keep the effective scale, where a rank was set and alpha, set too, did not follow.
    """

    followed: Mapping[str, tuple[Any, Any]]
    scale: tuple[float, float]
    steps: tuple[int | None, int | None]
    keeps_scale: float | None = None


def find_effect(spec: ExplainedSpec, name: str) -> Effect:
    """What the value of a chosen field changes, against the same spec with that field at its default."""
    before = spec.without(name)
    names = [other for other in RunSpec.model_fields if other != name and other not in _BOOKKEEPING]
    followed = {
        other: (getattr(before, other), getattr(spec, other))
        for other in names
        if getattr(before, other) != getattr(spec, other)
    }
    keeps = None
    if name == "rank" and "alpha" in spec.chosen and before.scale != spec.scale:
        keeps = before.scale * spec.alpha / spec.scale
    return Effect(followed, (before.scale, spec.scale), (before.planned_steps, spec.planned_steps), keeps)
