"""A merged model answers as base and adapter do: in transformers, and in llama.cpp, which knows nothing of either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("xllamacpp", reason="llama.cpp is not installed here: pip install xllamacpp")

from peft_studio.core.models import ModelFailure  # noqa: E402  after importorskip
from peft_studio.runner.trainer import merge  # noqa: E402
from peft_studio.runner.trainer.merge import merge_adapter  # noqa: E402
from tests.llamacpp import answer, write_base  # noqa: E402
from tests.unit.core.models.test_gguf_parity import COUNT, PROMPTS, transformers_says  # noqa: E402
from tests.unit.runner.trainer.tiny_model import save_adapter, save_tiny_model  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.mark.parametrize(
    "fields",
    [
        {"use_dora": True},
        {"targets": ["q_proj", "v_proj"], "modules_to_save": ["lm_head"]},
    ],
    ids=["dora", "own head"],
)
def test_what_has_no_form_beside_its_base_is_merged(base: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    """Token by token what peft answers, and not what the bare base does. A head of its own is no longer tied."""
    adapter = save_adapter(base, tmp_path / "adapter", seed=3, rank=8, **fields)
    if "modules_to_save" in fields:
        _train_head(adapter)
    said: list[str] = []
    merged = merge_adapter(base, adapter, tmp_path / "merged", say=said.append)
    wanted = transformers_says(base, adapter)

    assert wanted != transformers_says(base, None)
    assert transformers_says(merged, None) == wanted
    assert answer(write_base(merged, tmp_path / "merged.gguf"), None, PROMPTS, count=COUNT) == wanted
    config = json.loads((merged / "config.json").read_text())
    assert (config["torch_dtype"], config["rope_theta"]) == ("float16", 10_000.0)
    assert config["tie_word_embeddings"] is ("modules_to_save" not in fields)
    assert (merged / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    assert said == ["Loading the base model", "Merging the adapter", "Comparing"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_one_that_answers_differently_is_not_kept(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on disk is what is compared: a tensor of it that is wrong is found, and nothing is left."""
    from safetensors.torch import load_file, save_file

    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        name = next(key for key in tensors if "v_proj" in key)
        save_file({**tensors, name: tensors[name] * 1.5}, folder / "model.safetensors", metadata={"format": "pt"})

    adapter = save_adapter(base, tmp_path / "adapter", seed=3, rank=8, use_dora=True)
    monkeypatch.setattr(merge, "_tell_older_readers", damage)
    with pytest.raises(ModelFailure, match="does not answer as base and adapter do"):
        merge_adapter(base, adapter, tmp_path / "merged", say=lambda text: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


def _train_head(adapter: Path) -> None:
    """Give an adapter's own head other numbers than the embedding's, as training does."""
    from safetensors.torch import load_file, save_file

    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(key for key in tensors if "lm_head" in key)
    save_file({**tensors, name: tensors[name] + torch.randn_like(tensors[name]) * 0.3}, path, metadata={"format": "pt"})
