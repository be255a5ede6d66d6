"""The run spec: what is written is read back, and nothing is accepted that is not understood."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from pydantic import ValidationError

from peft_studio.core.errors import SpecError
from peft_studio.core.spec import METHODS, Basis, DataRef, RunSpec

REF = DataRef(
    path="/rows.jsonl", origin="rows.jsonl", format="messages", rows=40, sha256="0" * 64, columns={"prompt": "q"}
)


def build(**fields: Any) -> RunSpec:
    return RunSpec.build(**{"model": "org/base", "data": REF, **fields})


def test_json_round_trip() -> None:
    """Every field, set to something else than its default, comes back as it was."""
    spec = build(
        name="α 'quoted' \"run\"\n", method="qlora", quantization="nf4", rank=7, alpha=3.5, dropout=0.25, target_modules=("q", "v"),
        learning_rate=1e-7, lr_scheduler="linear", warmup_ratio=0.3, weight_decay=0.0, max_grad_norm=0.3, optimizer="adamw_8bit",
        batch_size=3, gradient_accumulation_steps=5, epochs=0.1, max_steps=9, max_length=64, packing=True, assistant_only_loss=False,
        gradient_checkpointing=True, precision="bf16", loop="fast", processes=2, sharding="fsdp", probe=False, eval_steps=2, save_steps=3, keep_checkpoints=1,
        logging_steps=4, sample_prompts=("a", "b"), sample_steps=2, seed=11, parent_run="r-1", tags=("x",),
        remote_code={"repo": "org/base", "commit": "a" * 40}, chosen=frozenset({"rank", "alpha"}), basis=Basis(parameters=5, bf16=True),
    )  # fmt: skip
    untouched = {name for name, field in RunSpec.model_fields.items() if field.default == getattr(spec, name)} - {
        "version"
    }
    assert untouched == set()
    assert RunSpec.from_json(spec.to_json()) == spec
    assert RunSpec.from_json(spec.to_json()).to_json() == spec.to_json()
    assert json.loads(spec.to_json())["chosen"] == ["alpha", "rank"]


def test_random_numbers_keep_every_bit() -> None:
    """A learning rate that travels through a file is the same number."""
    draw = random.Random(3)
    for _ in range(200):
        spec = build(learning_rate=draw.random() * 10 ** draw.randint(-9, 0), alpha=draw.uniform(0.1, 99))
        again = RunSpec.from_json(spec.to_json())
        assert (again.learning_rate, again.alpha) == (spec.learning_rate, spec.alpha)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("learning_rat", "learning_rate"), ("ranks", "rank"), ("batchsize", "batch_size"), ("maxlength", "max_length"),
     ("lora_dropout", "dropout"), ("gradient_acumulation_steps", "gradient_accumulation_steps")],
)  # fmt: skip
def test_an_unknown_field_names_the_nearest(wrong: str, right: str) -> None:
    """In a call and in a file alike."""
    with pytest.raises(SpecError, match=wrong) as caught:
        build(**{wrong: 1})
    assert right in caught.value.hint
    raw = json.loads(build().to_json()) | {wrong: 1}
    with pytest.raises(SpecError) as caught:
        RunSpec.from_json(json.dumps(raw))
    assert right in caught.value.hint
    assert caught.value.fields == (wrong,)


def test_a_spec_of_before_keeps_what_a_step_sees() -> None:
    """Its two processes multiplied the rows of a step; now accumulation alone does. Its one process was nobody's choice."""
    old = {
        name: value
        for name, value in json.loads(build(gradient_accumulation_steps=3).to_json()).items()
        if name != "sharding"
    }

    two, one = (RunSpec.from_json(json.dumps(old | {"processes": count})) for count in (2, 1))

    assert (two.processes, two.effective_batch) == (2, 4 * 3 * 2)
    assert (one.processes, one.effective_batch) == (None, 4 * 3)
    assert RunSpec.from_json(two.to_json()) == two


def test_a_spec_written_by_hand_is_read_as_it_is_meant_today() -> None:
    """It has few fields, and no ``sharding`` either: what a step sees is what its accumulation says, with or without a version."""
    data = json.loads(REF.model_dump_json())
    by_hand = {"model": "org/base", "data": data, "processes": 2, "gradient_accumulation_steps": 3}

    for raw in (by_hand, by_hand | {"version": 1}):
        spec = RunSpec.from_json(json.dumps(raw))
        assert (spec.processes, spec.effective_batch) == (2, 4 * 3)
    least = {"version": 1, "model": "org/base", "data": data}
    assert (
        RunSpec.from_json(json.dumps(least | {"processes": 4})).effective_batch
        == RunSpec.from_json(json.dumps(least)).effective_batch
    )
    assert RunSpec.from_json(json.dumps(least | {"processes": 1})).processes == 1


@pytest.mark.parametrize("version", [2, 99, "1", None, 1.5, 0, -1])
def test_another_version_is_refused(version: Any) -> None:
    """A newer file is left alone with a word about updating; nonsense is no version."""
    raw = json.loads(build().to_json()) | {"version": version}
    with pytest.raises(SpecError) as caught:
        RunSpec.from_json(json.dumps(raw))
    assert "version" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '"spec"', '{"model": 5}', "\0", '{"version": 1}'])
def test_what_is_no_spec_is_refused(text: str) -> None:
    """Always as a SpecError with something to do."""
    with pytest.raises(SpecError) as caught:
        RunSpec.from_json(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "fields",
    [{"rank": 0}, {"rank": 2000}, {"rank": "many"}, {"alpha": 0}, {"dropout": 1.0}, {"learning_rate": 0}, {"learning_rate": 2.0},
     {"batch_size": 0}, {"max_steps": 0}, {"epochs": 0}, {"max_length": 4}, {"precision": "fp8"}, {"method": "qlora"},
     {"method": "pissa", "dropout": 0.1}, {"save_steps": 0}, {"processes": 0}, {"remote_code": True}, {"remote_code": {"repo": "a/b"}},
     {"remote_code": {"repo": "a/b", "commit": "main"}}, {"learning_rate": float("nan")}, {"alpha": float("inf")}],
)  # fmt: skip
def test_out_of_range_is_refused_with_the_field(fields: dict[str, Any]) -> None:
    """One error that names the field at fault, or the reason where two fields are at odds."""
    with pytest.raises(SpecError) as caught:
        build(**fields)
    assert caught.value.fields[:1] in {(name,) for name in fields} | {()}
    assert any(name in str(caught.value) or "PiSSA" in str(caught.value) for name in fields)


def test_a_spec_cannot_be_changed() -> None:
    """Frozen: a changed spec is another spec."""
    spec = build()
    with pytest.raises(ValidationError):
        spec.rank = 5  # type: ignore[misc]
    with pytest.raises(ValidationError):
        spec.data.rows = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("method", "rank", "alpha", "scale"), [("lora", 16, 32, 2.0), ("dora", 8, 8, 1.0), ("rslora", 64, 16, 2.0)]
)
def test_scale(method: str, rank: int, alpha: float, scale: float) -> None:
    """α/r, and α/√r for rsLoRA."""
    assert build(method=method, rank=rank, alpha=alpha).scale == scale


def test_the_methods_are_the_five() -> None:
    """What the issue names."""
    assert set(METHODS) == {"lora", "qlora", "dora", "pissa", "rslora"}


def test_each_field_has_its_own_words() -> None:
    """Of several wrong fields each is told by itself, for whoever shows them apart."""
    with pytest.raises(SpecError) as caught:
        build(rank=0, dropout=2)
    assert set(caught.value.by_field) == {"rank", "dropout"}
    assert "greater than or equal to 1" in caught.value.by_field["rank"]
