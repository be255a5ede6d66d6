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
        ({"method": "dora", "quantization": "int8"}, "dora_int8"),
        ({"method": "pissa", "rank": 48}, "pissa_narrow"),
        ({"target_modules": ("c_attn",)}, "target_missing"),
        ({"target_modules": "q_proj"}, "target_pattern"),
        ({"target_modules": "("}, "target_pattern"),
        ({"loop": "fast", "precision": "bf16", "quantization": "nf4"}, "fast_not_here"),
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


@pytest.mark.parametrize(
    ("fields", "code", "severity"),
    [
        ({"rank": 64, "alpha": 16.0}, "scale_low", "warning"),
        ({"rank": 128, "alpha": 32.0}, "scale_low", "info"),
        ({"learning_rate": 2e-3}, "rate_high", "warning"),
        ({"method": "pissa", "learning_rate": 2e-4}, "rate_high", "warning"),
        ({"rank": 256, "learning_rate": 2e-4}, "rate_high", "warning"),
        ({"target_modules": ("q_proj", "lm_head")}, "end_targeted", "warning"),
        ({"target_modules": ("q_proj", "c_attn")}, "target_missing", "warning"),
        ({"loop": "reference", "packing": True}, "packing_padded", "warning"),
        ({"epochs": 1.0}, "few_steps", "warning"),
        ({"eval_steps": 5}, "nothing_to_evaluate", "warning"),
    ],
)
def test_what_deserves_a_look_comes_with_its_cure(
    light: Studio, spec_of: Callable[..., Any], fields: dict[str, Any], code: str, severity: str
) -> None:
    """It trains all the same; the change takes the problem away."""
    spec = spec_of(**fields)
    check = light.check(spec)
    assert code in codes(check, severity)
    assert check.ready
    (problem,) = [problem for problem in check.problems if problem.code == code]
    assert problem.changes
    cured = light.check(spec.replace(**problem.changes))
    assert code not in [other.code for other in cured.problems]


@pytest.mark.parametrize(
    "fields", [{"rank": 256}, {"rank": 256, "alpha": 32.0}, {"learning_rate": 1e-3}, {"rank": 8, "alpha": 16.0}]
)
def test_what_has_a_source_is_not_complained_of(
    light: Studio, spec_of: Callable[..., Any], fields: dict[str, Any]
) -> None:
    """Alpha and rate follow a rank; alpha 32 at any rank; a thousandth for a short run."""
    assert not {"rate_high", "scale_high"} & set(codes(light.check(spec_of(**fields)), "warning"))


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"rank": 16}, "server_rank", None),
        ({"rank": 20}, "server_rank", "--max-lora-rank 32"),
        ({"method": "pissa", "rank": 32}, "server_rank", "--max-lora-rank 64"),
        ({"rank": 600}, "server_rank", "merge"),
        ({"method": "dora", "rank": 64}, "dora_serving", "Merge"),
    ],
)
def test_what_servers_will_say_is_said_before(
    light: Studio, spec_of: Callable[..., Any], fields: dict[str, Any], code: str, words: str | None
) -> None:
    """vLLM's rank, which PiSSA doubles, and that it has no DoRA; never more than a note."""
    found = {problem.code: problem for problem in light.check(spec_of(**fields)).problems}
    assert (code in found) == (words is not None)
    if words:
        assert words in found[code].fix
        assert found[code].severity == "info"


def test_memory_that_is_short_blocks_with_what_would_fit(
    light: Studio, spec_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short, tight, enough: blocked with the first rung that fits, warned, nothing; on the same spec."""
    spec = spec_of(batch_size=64, max_length=512)
    verdicts: dict[str, Any] = {}
    asked = light.check(spec).ladder.asked.needs  # type: ignore[union-attr]
    for free in (int(asked.value) - 1, int(asked.value) + 1, int(asked.high / 0.88) + 1):
        monkeypatch.setattr("peft_studio.core.services.check.ground.find_free_bytes", lambda free=free: free)
        check = light.check(spec)
        assert check.ladder is not None
        assert check.ladder.free_bytes == free
        verdicts[check.ladder.asked.fit] = [p for p in check.problems if p.code.startswith("memory_")]
    assert [p.severity for p in verdicts["wont-fit"]] == ["blocking"]
    assert [p.severity for p in verdicts["tight"]] == ["warning"]
    assert verdicts["ok"] == []
    assert "GiB is free" in verdicts["wont-fit"][0].message


def test_the_fix_of_short_memory_fits(
    light: Studio, spec_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a rung fits, applying it makes the spec Ready."""
    spec = spec_of(batch_size=2048, gradient_accumulation_steps=1, max_length=512)
    ladder = light.check(spec).ladder
    assert ladder is not None
    enough = int(min(rung.needs.high for rung in ladder.rungs) / 0.88) + 1
    monkeypatch.setattr("peft_studio.core.services.check.ground.find_free_bytes", lambda: enough)
    check = light.check(spec)
    (problem,) = [p for p in check.problems if p.code == "memory_short"]
    assert check.ladder is not None
    assert check.ladder.first is not None
    mended = light.check(spec.replace(**problem.changes))
    assert not [p for p in mended.problems if p.code.startswith("memory_")]
    assert spec.replace(**problem.changes).effective_batch == spec.effective_batch


def test_what_no_card_holds_fits_several(
    light: Studio, model: Path, spec_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cards that are too small for it are no reason to refuse a run whose base they share; more processes than cards are."""
    config = json.loads((model / "config.json").read_text())
    config |= {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
    (model / "config.json").write_text(json.dumps(config))
    spec = spec_of(method="lora", batch_size=1, gradient_accumulation_steps=4)
    spec = spec.replace(basis=spec.basis.model_copy(update={"device": "cuda"}))
    need = light.check(spec).ladder.asked.needs.value  # type: ignore[union-attr]
    monkeypatch.setattr("peft_studio.core.services.check.ground.find_free_bytes", lambda: int(need * 0.9995))

    def found(cards: int, spec: Any) -> set[str]:
        monkeypatch.setattr("peft_studio.core.services.check.ground.find_gpus", lambda: [("L4", 0.0)] * cards)
        return {one.code for one in light.check(spec).problems if one.severity == "blocking"} & {
            "memory_short",
            "devices_short",
        }

    assert found(1, spec) == {"memory_short"}
    assert found(4, spec.replace(processes=4, sharding="fsdp")) == set()
    assert found(2, spec.replace(processes=4)) == {"memory_short", "devices_short"}
    (problem,) = [one for one in light.check(spec.replace(processes=4)).problems if one.code == "devices_short"]
    assert problem.changes == {"processes": None}


@pytest.mark.parametrize(
    ("config", "fields", "code"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, {"method": "qlora"}, "model_quantised"),
        ({"model_type": "mixtral", "num_local_experts": 4}, {"method": "dora"}, "experts_dora"),
        ({"model_type": "mixtral", "num_local_experts": 4}, {"method": "pissa"}, "experts_pissa"),
        ({"model_type": "mixtral", "num_local_experts": 4}, {"dropout": 0.1}, "experts_dropout"),
        ({"model_type": "mistral", "sliding_window": 64}, {"loop": "fast"}, "fast_not_here"),
        ({"model_type": "gpt2"}, {"loop": "fast"}, "fast_not_here"),
    ],
)
def test_what_this_architecture_cannot_do(
    light: Studio, spec_of: Callable[..., Any], model: Path, config: dict[str, Any], fields: dict[str, Any], code: str
) -> None:
    """Read from config.json, and curable."""
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    spec = spec_of(**fields)
    (problem,) = [p for p in light.check(spec).problems if p.severity == "blocking"]
    assert problem.code == code
    assert light.check(spec.replace(**problem.changes)).ready


def test_a_window_that_rows_may_outgrow_is_told(light: Studio, spec_of: Callable[..., Any], model: Path) -> None:
    """A note with the length at which the fast loop is tried."""
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "mistral", "sliding_window": 64}))
    assert "sliding_window" in codes(light.check(spec_of()), "info")
    assert "sliding_window" not in codes(light.check(spec_of(max_length=64)), "info")


@pytest.mark.parametrize(
    ("head", "severity"),
    [("license: apache-2.0", None), ("license: llama3.2", "info"), ("license: cc-by-nc-4.0", "warning"), ("license: other\nlicense_name: qwen-research", "info"),
     ("tags: []", None)],
)  # fmt: skip
def test_a_licence_with_terms_is_named(
    light: Studio, spec_of: Callable[..., Any], model: Path, head: str, severity: str | None
) -> None:
    """As the model's own README says it; open ones and none are not worth a word."""
    (model / "README.md").write_text(f"---\n{head}\n---\n# A model\n")
    found = [problem.severity for problem in light.check(spec_of()).problems if problem.code == "model_licence"]
    assert found == ([severity] if severity else [])


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
