"""What follows what: changing one field derives again only those that nobody has set, for every pair of fields that matter."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.spec import METHODS, Basis
from tests.unit.core.defaults.test_derive import derive

BASIS = Basis(
    parameters=1_500_000_000, family="llama", train_rows=900, p95_tokens=300, max_tokens=700, device="cuda", bf16=True
)
VALUES: dict[str, Any] = {
    "method": "dora", "quantization": "nf4", "rank": 128, "alpha": 300.0, "dropout": 0.2, "target_modules": ("q_proj",), "learning_rate": 7e-4,
    "batch_size": 2, "gradient_accumulation_steps": 3, "epochs": 7.0, "max_steps": 33, "max_length": 256, "warmup_ratio": 0.11,
    "max_grad_norm": 0.7, "optimizer": "adamw_8bit", "precision": "fp32", "gradient_checkpointing": False, "processes": 2, "save_steps": 9,
}  # fmt: skip
# field set → fields that may follow it when nobody has set them
FOLLOWERS = {
    "method": {"rank", "alpha", "dropout", "learning_rate", "quantization", "optimizer", "max_grad_norm"},
    "quantization": {"method", "optimizer", "max_grad_norm"},
    "rank": {"alpha", "learning_rate"},
    "alpha": {"learning_rate"},
    "target_modules": {"dropout"},
    "batch_size": {"gradient_accumulation_steps", "warmup_ratio", "save_steps"},
    "gradient_accumulation_steps": {"warmup_ratio", "save_steps"},
    "epochs": {"gradient_accumulation_steps", "dropout", "warmup_ratio", "save_steps"},
    "max_steps": {"warmup_ratio", "save_steps"},
    "max_length": {"batch_size", "gradient_accumulation_steps"},
    "precision": {"method", "quantization", "max_grad_norm"},
}  # fmt: skip
FIELDS = set(ExplainedSpec.model_fields) - {"basis", "chosen", "data", "model", "version"}
BASES = [
    BASIS.model_copy(update=facts)
    for facts in ({}, {"train_rows": 30_000}, {"free_bytes": 5 << 30}, {"free_bytes": 3 << 30}, {"family": "mixtral"}, {"train_rows": 3000},
                  {"train_rows": 80})
]  # fmt: skip


def moved(before: ExplainedSpec, name: str, value: Any) -> set[str]:
    """The other fields that setting one has moved."""
    after = before.replace(**{name: value})
    return {other for other in FIELDS - {name} if getattr(after, other) != getattr(before, other)}


@pytest.mark.parametrize("name", VALUES)
def test_one_field_moves_only_what_depends_on_it(name: str) -> None:
    """Whatever the method and the facts, everything else stays."""
    for basis in BASES:
        for method in METHODS:
            if name == "dropout" and method == "pissa":
                continue  # which allows none
            before = derive(basis) if name == "method" else derive(basis, method=method)
            assert moved(before, name, VALUES[name]) <= FOLLOWERS.get(name, set())


@pytest.mark.parametrize(("first", "second"), list(permutations(VALUES, 2)))
def test_a_set_field_stays_whatever_is_set_next(first: str, second: str) -> None:
    """In either order, and the spec is the one that has both from the beginning."""
    both = derive(BASIS, **{first: VALUES[first], second: VALUES[second]})
    step_by_step = derive(BASIS).replace(**{first: VALUES[first]}).replace(**{second: VALUES[second]})
    assert step_by_step == both
    assert getattr(both, first) == VALUES[first]
    assert getattr(both, second) == VALUES[second]
    assert both.chosen == {first, second}
    assert both.without(first, second) == derive(BASIS)


def test_the_lists_of_followers_are_real() -> None:
    """Nothing is listed that never follows."""
    seen: dict[str, set[str]] = {name: set() for name in FOLLOWERS}
    more = {
        "method": ["qlora", "pissa"],
        "precision": ["fp16"],
        "max_length": [2048],
        "batch_size": [16],
        "quantization": [None],
    }
    for basis in BASES:
        for name in FOLLOWERS:
            for value in [VALUES[name], *more.get(name, [])]:
                seen[name] |= moved(derive(basis), name, value)
    assert {name: FOLLOWERS[name] - seen[name] for name in FOLLOWERS if FOLLOWERS[name] - seen[name]} == {}
