"""Preflight: what would stop a run is found before it starts, named, and comes with a change that cures it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.errors import NotReadyError, SpecError
from tests.tiny import write_rows, write_tokenizer
from tests.unit.core.services.test_run import NoCompute


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model to whoever does not load it."""
    folder = tmp_path / "model"
    folder.mkdir()
    size = write_tokenizer(folder)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": size, "max_position_embeddings": 512, "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return folder


@pytest.fixture
def light(tmp_path: Path) -> Studio:
    return Studio(home=tmp_path / "home")


@pytest.fixture
def spec_of(light: Studio, model: Path, tmp_path: Path) -> Callable[..., Any]:
    path = write_rows(tmp_path / "rows.jsonl", 200)
    return lambda **fields: light.spec(**{"model": str(model), "data": str(path), "precision": "fp32", **fields})


def codes(check: Any, severity: str) -> list[str]:
    return [problem.code for problem in check.problems if problem.severity == severity]


def test_a_sound_spec_is_ready(light: Studio, spec_of: Callable[..., Any]) -> None:
    """Nothing blocks it."""
    check = light.check(spec_of())
    assert check.ready
    assert repr(check).startswith("Ready")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "pissa", "quantization": "nf4"}, "pissa_quantised"),
        ({"method": "pissa", "precision": "fp16"}, "pissa_fp16"),
        ({"optimizer": "adamw_8bit"}, "optimizer_needs_cuda"),
        ({"optimizer": "paged_adamw_8bit"}, "optimizer_needs_cuda"),
        ({"precision": "fp16"}, "fp16_needs_cuda"),
        ({"max_length": 5000}, "beyond_context"),
    ],
)
def test_what_cannot_work_is_blocked_and_its_fix_works(
    light: Studio, spec_of: Callable[..., Any], fields: dict[str, Any], code: str
) -> None:
    """Each names its field; applying ``changes`` takes the problem away."""
    spec = spec_of(**fields)
    check = light.check(spec)
    assert code in codes(check, "blocking")
    assert not check.ready
    (problem,) = [problem for problem in check.problems if problem.code == code]
    assert problem.field in fields
    assert problem.fix
    with pytest.raises(NotReadyError) as caught:
        light.launch(spec)
    assert problem.field in caught.value.fields
    assert light.runs().rows == []  # nothing was made
    cured = spec.replace(**problem.changes)
    assert code not in [other.code for other in light.check(cured).problems]


def test_a_left_over_alpha_is_a_warning(light: Studio, spec_of: Callable[..., Any]) -> None:
    """It trains, so it does not block; the change gives scale 2."""
    for fields in ({"alpha": 512.0}, {"method": "rslora", "alpha": 512.0}):
        spec = spec_of(**fields)
        (problem,) = [p for p in light.check(spec).problems if p.code == "scale_high"]
        assert problem.severity == "warning"
        assert spec.replace(**problem.changes).scale == pytest.approx(2.0)


def test_preference_pairs_are_recognised_and_refused(light: Studio, model: Path, tmp_path: Path) -> None:
    """With a word on what can be done today."""
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"q {n}", "chosen": "good", "rejected": "bad"}) + "\n" for n in range(30))
    )
    check = light.check(light.spec(model=str(model), data=str(path), precision="fp32"))
    assert "preference_data" in codes(check, "blocking")


def test_a_disk_without_room_is_found_before(
    light: Studio, spec_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints of this model would not fit."""
    from types import SimpleNamespace

    monkeypatch.setattr("peft_studio.core.services.check.room.shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    assert "disk_short" in codes(light.check(spec_of()), "blocking")


def test_training_that_is_not_installed_is_said(
    light: Studio, spec_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    spec = spec_of()
    monkeypatch.setattr("peft_studio.core.services.check.missing_train_modules", lambda: ["torch"])
    (problem,) = [p for p in light.check(spec).problems if p.code == "train_extra_missing"]
    assert problem.severity == "blocking"
    assert "pip install" in problem.fix


def test_an_unknown_compute_names_the_nearest(light: Studio, spec_of: Callable[..., Any]) -> None:
    """Before anything is made."""
    with pytest.raises(SpecError, match="locl") as caught:
        light.launch(spec_of(), compute="locl")
    assert "local" in caught.value.hint
    assert light.runs().rows == []


def test_a_relative_model_folder_is_the_same_model_from_anywhere(
    light: Studio, spec_of: Callable[..., Any], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent works in another folder than the notebook: what was named relative to here must be found there too."""
    monkeypatch.chdir(model.parent)
    monkeypatch.setattr(light, "_compute", NoCompute)
    run = light.launch(spec_of(model="./model"))
    assert Path(run.spec.model) == model
    assert light.launch(spec_of(model="model")).spec.model == str(model)
