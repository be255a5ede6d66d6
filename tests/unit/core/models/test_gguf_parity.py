"""llama.cpp answers with our GGUF of an adapter what transformers and peft answer with the adapter itself, token by token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("xllamacpp", reason="llama.cpp is not installed here: pip install xllamacpp")

from peft_studio.core.models.gguf_adapter import build_gguf  # noqa: E402  after importorskip
from tests.llamacpp import answer, write_base  # noqa: E402
from tests.unit.runner.trainer.tiny_model import save_adapter, save_tiny_model  # noqa: E402

pytestmark = pytest.mark.slow
PROMPTS = [[1, 5, 9, 12], [7, 3, 14, 2, 8, 6], [11, 10], [4, 4, 13, 9, 5, 6, 7], [15, 8, 16]]
COUNT = 12


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def gguf(base: Path) -> Path:
    return write_base(base, base.parent / "base.gguf")


def transformers_says(base: Path, adapter: Path | None) -> list[list[int]]:
    """Plain generate, greedy, and like llama.cpp's ``ignore_eos`` never the end of a text."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    said = []
    for prompt in PROMPTS:
        ids = torch.tensor([prompt])
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=COUNT,
            do_sample=False,
            eos_token_id=-1,
            suppress_tokens=[model.config.eos_token_id],
            pad_token_id=0,
        )
        said.append(out[0, len(prompt) :].tolist())
    return said


def test_the_base_itself_answers_the_same(base: Path, gguf: Path) -> None:
    """Otherwise the rest would say nothing of adapters."""
    assert answer(gguf, None, PROMPTS, count=COUNT) == transformers_says(base, None)


@pytest.mark.parametrize(
    "fields",
    [{}, {"use_rslora": True}, {"targets": ["q_proj", "k_proj"]}, {"targets": ["v_proj", "down_proj"]}],
    ids=str,
)
def test_an_adapter_answers_the_same(base: Path, gguf: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    """LoRA and rsLoRA, whose rank and alpha differ so that a wrong scale shows; and an answer that is not the bare base's."""
    known = {
        "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        "rank": 8,
        "lora_alpha": 12,
    }
    adapter = save_adapter(base, tmp_path / "adapter", seed=3, **{**known, **fields})
    path = tmp_path / "adapter.gguf"
    path.write_bytes(build_gguf(adapter, json.loads((base / "config.json").read_text()), name="tiny"))

    theirs = answer(gguf, path, PROMPTS, count=COUNT)

    assert theirs == transformers_says(base, adapter)
    assert theirs != answer(gguf, None, PROMPTS, count=COUNT)


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3"])
def test_other_families_answer_the_same(tmp_path: Path, family: str) -> None:
    """Those whose rows are in halves on both sides, and one that llama.cpp takes for a llama."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(5)
    more = {"head_dim": 16} if family == "qwen3" else {}
    config = AutoConfig.for_model(
        family, vocab_size=48, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=True, **more,
    )  # fmt: skip
    model: Any = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    base = tmp_path / family
    model.save_pretrained(base)
    adapter = save_adapter(base, tmp_path / "adapter", seed=3, rank=8, lora_alpha=12)
    path = tmp_path / "adapter.gguf"
    path.write_bytes(build_gguf(adapter, json.loads((base / "config.json").read_text()), name=family))
    gguf = write_base(base, tmp_path / "base.gguf")

    assert answer(gguf, None, PROMPTS, count=COUNT) == transformers_says(base, None)
    assert answer(gguf, path, PROMPTS, count=COUNT) == transformers_says(base, adapter)
