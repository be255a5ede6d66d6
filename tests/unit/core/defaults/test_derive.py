"""Smart defaults: every field has a value, a reason and a source; a person's choices stay, the rest follows."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from peft_studio.core.defaults import ExplainedSpec, derive_defaults
from peft_studio.core.errors import SpecError
from peft_studio.core.spec import METHODS, Basis, DataRef

REF = DataRef(path="/rows.jsonl", origin="rows.jsonl", format="messages", rows=40, sha256="0" * 64)
BASES = [
    Basis(parameters=parameters, train_rows=rows, max_tokens=longest, p95_tokens=longest, context_length=context, device=device, bf16=bf16,
          conversational=True)
    for parameters, rows, longest, context, (device, bf16) in product(
        (None, 135_000_000, 7_000_000_000, 70_000_000_000), (None, 0, 30, 900, 4000, 50_000), (None, 20, 700, 9000), (None, 512),
        (("cpu", False), ("cpu", True), ("cuda", True), ("cuda", False)),
    )
]  # fmt: skip


def derive(basis: Basis = Basis(train_rows=900), **fields: Any) -> ExplainedSpec:  # noqa: B008  frozen
    return ExplainedSpec.derive(model="org/base", data=REF, basis=basis, **fields)


@pytest.mark.parametrize("method", METHODS)
def test_every_default_is_legal_whatever_the_facts(method: str) -> None:
    """No combination of facts gives a spec that its own rules refuse."""
    for basis in BASES:
        spec = derive(basis, method=method)
        assert ExplainedSpec.from_json(spec.to_json()) == spec
        assert spec.max_length <= (basis.context_length or 2048)


@pytest.mark.parametrize("method", METHODS)
def test_every_field_is_explained(method: str) -> None:
    """Value, reason in words, and a source; the value is the one in the spec."""
    for basis in BASES[::7]:
        spec = derive(basis, method=method, learning_rate=5e-4)
        explained = spec.explain()
        assert set(explained) >= set(type(spec).model_fields) - {"version", "basis", "chosen", "data", "name", "tags"}
        for name, default in explained.items():
            assert default.value == getattr(spec, name), name
            assert len(default.why) > 8, name
            assert default.source, name
        assert explained["learning_rate"].source == "you"
        assert "Set by you" in explained["learning_rate"].why
        assert "learning_rate" in repr(explained)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rank", [None, 1, 4, 16, 64, 256])
def test_the_effective_scale_stays_near_two_whatever_the_rank(method: str, rank: int | None) -> None:
    """A chosen rank takes alpha with it; PiSSA's scale is 1 by construction."""
    spec = derive(method=method, **({} if rank is None else {"rank": rank}))
    assert spec.scale == pytest.approx(1.0 if method == "pissa" else 2.0)


@pytest.mark.parametrize("method", METHODS)
def test_memory_never_raises_the_rank(method: str) -> None:
    """Rank follows rows and method; a bigger device or a smaller model does not change it."""
    for rows in (30, 900, 50_000):
        ranks = {
            derive(Basis(train_rows=rows, parameters=parameters, device=device, bf16=True), method=method).rank
            for parameters in (1_000_000, 135_000_000, 70_000_000_000)
            for device in ("cpu", "cuda")
        }
        assert len(ranks) == 1


def test_replace_derives_again_only_what_nobody_chose() -> None:
    """Chosen fields stay through any number of replacements; the others follow the new facts and choices."""
    spec = derive(rank=8, seed=5)
    assert (spec.rank, spec.alpha, spec.chosen) == (8, 16.0, {"rank", "seed"})
    other = spec.replace(rank=32)
    assert (other.rank, other.alpha, other.seed) == (32, 64.0, 5)
    fixed = spec.replace(alpha=5).replace(rank=64)
    assert (fixed.rank, fixed.alpha, fixed.seed) == (64, 5, 5)
    assert spec.rank == 8
    qlora = spec.replace(method="qlora")
    assert (qlora.quantization, qlora.max_grad_norm) == ("nf4", 0.3)
    back = qlora.replace(method="lora")
    assert (back.quantization, back.max_grad_norm) == (None, 1.0)
    steps = derive(Basis(train_rows=50_000)).save_steps
    assert (steps, derive(Basis(train_rows=50_000)).replace(max_steps=20).save_steps) == (50, 2)


def test_a_replacement_by_the_default_is_a_choice() -> None:
    """Saying 16 is not the same as leaving it open."""
    spec = derive(Basis(train_rows=900)).replace(rank=16)
    assert "rank" in spec.chosen
    assert spec.replace(basis=Basis(train_rows=50_000)).rank == 16
    assert derive(Basis(train_rows=900)).replace(basis=Basis(train_rows=50_000)).rank == 32


def test_batch_and_accumulation_keep_the_effective_batch() -> None:
    """Fewer rows at once, more accumulation; several processes share it."""
    many = Basis(train_rows=50_000, max_tokens=100)
    for size in (1, 2, 4, 8, 16):
        spec = derive(many, batch_size=size)
        assert spec.batch_size * spec.gradient_accumulation_steps == 16
    assert derive(many, batch_size=4, processes=2).gradient_accumulation_steps == 4


@pytest.mark.parametrize(
    "fields",
    [{"rank": "many"}, {"rank": None}, {"max_length": 0}, {"max_length": "long"}, {"batch_size": 0}, {"batch_size": "x"}, {"processes": 0},
     {"gradient_accumulation_steps": 0}, {"epochs": "three"}, {"max_steps": "x"}, {"method": "lorra"}, {"method": None}, {"method": ["lora"]},
     {"max_length": -5}, {"batch_size": None}, {"model": None}, {"data": "rows.jsonl"}],
)  # fmt: skip
def test_nonsense_is_a_spec_error(fields: dict[str, Any]) -> None:
    """Defaults are computed from what a person typed: what they typed wrongly must not come out as a division by zero."""
    with pytest.raises(SpecError) as caught:
        ExplainedSpec.derive(**{"model": "org/base", "data": REF, "basis": Basis(train_rows=900), **fields})
    assert set(caught.value.fields) <= set(fields)
    assert caught.value.fields


@pytest.mark.parametrize("name", ["chosen", "version"])
def test_bookkeeping_is_nobodys_field(name: str) -> None:
    """A person cannot set what only the spec itself keeps."""
    with pytest.raises(SpecError, match=name):
        derive(**{name: "x"})


def test_unknown_fields_name_the_nearest() -> None:
    """In spec() and in replace()."""
    with pytest.raises(SpecError) as caught:
        derive(learning_rat=1e-3)
    assert "learning_rate" in caught.value.hint
    with pytest.raises(SpecError) as caught:
        derive().replace(ranc=3)
    assert "rank" in caught.value.hint


def test_defaults_are_pure() -> None:
    """The same facts give the same defaults."""
    basis = Basis(train_rows=900)
    assert derive_defaults(basis, {"rank": 8}) == derive_defaults(basis, {"rank": 8})
