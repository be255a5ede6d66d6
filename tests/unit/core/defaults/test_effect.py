"""What setting a field has done: what followed, the scale, the steps; and the spec without it."""

from __future__ import annotations

import pytest

from peft_studio.core.defaults import find_effect
from peft_studio.core.spec import Basis
from tests.unit.core.defaults.test_derive import derive


def test_what_follows_a_rank() -> None:
    """Alpha was nobody's choice and follows; the scale stays."""
    effect = find_effect(derive(rank=32), "rank")
    assert effect.followed == {"alpha": (32.0, 64.0)}
    assert effect.scale == (2.0, 2.0)
    assert effect.keeps_scale is None


@pytest.mark.parametrize(("method", "rank", "alpha"), [("lora", 32, 32), ("rslora", 16, 16), ("dora", 4, 64)])
def test_the_alpha_that_keeps_the_scale(method: str, rank: int, alpha: float) -> None:
    """Where alpha was left behind, the alpha named gives the old scale at the new rank."""
    spec = derive(method=method, rank=rank, alpha=alpha)
    effect = find_effect(spec, "rank")
    assert effect.keeps_scale is not None
    assert spec.replace(alpha=effect.keeps_scale).scale == pytest.approx(effect.scale[0])


def test_steps_before_and_after() -> None:
    """Half the epochs are half the steps, and checkpoints come as often as a run of that length needs them."""
    effect = find_effect(
        derive(Basis(train_rows=1600), epochs=1.0, batch_size=4, gradient_accumulation_steps=4), "epochs"
    )
    assert effect.steps == (300, 100)
    assert effect.followed == {"save_steps": (30, 10)}


def test_without_is_as_if_never_set() -> None:
    """Taking all fields back gives the spec that nobody touched."""
    spec = derive(rank=8, dropout=0.1, method="dora")
    assert spec.without("rank") == derive(dropout=0.1, method="dora")
    assert spec.without(*spec.chosen) == derive()


def test_the_default_of_a_field_that_was_set() -> None:
    """It is the value that the spec without it has, with its own reason; name and tags have one too."""
    spec = derive(rank=8, max_length=512, name="mine")
    defaults = spec.explain_defaults()
    for name in spec.chosen:
        assert defaults[name].value == getattr(spec.without(name), name), name
        assert "Set by you" not in defaults[name].why
    assert set(defaults) == set(type(spec).model_fields) - {"version", "basis", "chosen", "data", "model"}


def test_planned_steps() -> None:
    """Whole batches times epochs, max_steps before that, None while rows are unknown."""
    assert derive(Basis(train_rows=33), batch_size=4, gradient_accumulation_steps=2, epochs=2).planned_steps == 10
    assert derive(Basis(train_rows=33), max_steps=7).planned_steps == 7
    assert derive(Basis()).planned_steps is None
