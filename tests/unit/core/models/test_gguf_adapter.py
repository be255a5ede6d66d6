"""A LoRA as GGUF: read back by the gguf package of llama.cpp's authors. What llama.cpp answers with it: tests/e2e/test_gguf_parity.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peft_studio.core.errors import AdapterMismatch
from peft_studio.core.models.gguf_adapter import build_gguf, pair_rows, read_floats
from peft_studio.core.models.weights import Tensor
from tests.made_run import write_made_run

BASE = {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 64}


def write(folder: Path, **fields: Any) -> Path:
    return write_made_run(folder, **fields) / "adapter"


def read_gguf(path: Path, content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    gguf = pytest.importorskip("gguf")
    path.write_bytes(content)
    reader = gguf.GGUFReader(path)
    facts = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    return facts, {tensor.name: np.array(tensor.data) for tensor in reader.tensors}


def edit(adapter: Path, **config: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


def test_every_tensor_arrives_under_llama_cpps_name(tmp_path: Path) -> None:
    """A as it was; B of q and k with its rows paired, B of v as it was."""
    from safetensors.numpy import load_file

    adapter = write(tmp_path)
    facts, tensors = read_gguf(tmp_path / "a.gguf", build_gguf(adapter, BASE, name="orders"))
    ours = load_file(adapter / "adapter_model.safetensors")

    assert facts == {
        "general.architecture": "llama", "general.type": "adapter", "general.name": "orders", "adapter.type": "lora", "adapter.lora.alpha": 8.0,
    }  # fmt: skip
    assert len(tensors) == len(ours) == 8
    stem = "base_model.model.model.layers.1.self_attn"
    assert np.array_equal(tensors["blk.1.attn_q.weight.lora_a"], ours[f"{stem}.q_proj.lora_A.weight"])
    assert np.array_equal(tensors["blk.1.attn_v.weight.lora_b"], ours[f"{stem}.v_proj.lora_B.weight"])
    theirs, there = ours[f"{stem}.q_proj.lora_B.weight"], tensors["blk.1.attn_q.weight.lora_b"]
    assert np.array_equal(there[0], theirs[0])
    assert np.array_equal(there[1], theirs[8])  # 64 rows, 4 heads of 16: half a head on
    assert np.array_equal(there[16], theirs[16])


def test_only_a_llama_has_its_rows_paired(tmp_path: Path) -> None:
    """Qwen's stay as they are."""
    from safetensors.numpy import load_file

    adapter = write(tmp_path)
    _, tensors = read_gguf(tmp_path / "a.gguf", build_gguf(adapter, {**BASE, "model_type": "qwen2"}, name="x"))
    ours = load_file(adapter / "adapter_model.safetensors")
    assert np.array_equal(
        tensors["blk.0.attn_q.weight.lora_b"], ours["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"]
    )


def test_rslora_gets_the_alpha_that_llama_cpp_divides_back(tmp_path: Path) -> None:
    """alpha/√r = (alpha·√r)/r."""
    adapter = write(tmp_path, method="rslora", rank=16, alpha=8)
    facts, _ = read_gguf(tmp_path / "a.gguf", build_gguf(adapter, BASE, name="x"))
    assert facts["adapter.lora.alpha"] == 32.0


@pytest.mark.parametrize(
    ("config", "base", "why"),
    [
        ({"use_dora": True}, {}, "DoRA"),
        ({"rank_pattern": {"q_proj": 2}}, {}, "ranks"),
        ({"peft_type": "IA3"}, {}, "IA3"),
        ({}, {"model_type": "mamba"}, "mamba"),
        ({}, {"model_type": None}, "unknown"),
    ],
)
def test_what_has_no_form_is_refused(tmp_path: Path, config: dict[str, Any], base: dict[str, Any], why: str) -> None:
    """With the reason."""
    adapter = write(tmp_path)
    edit(adapter, **config)
    with pytest.raises(AdapterMismatch, match=why):
        build_gguf(adapter, {**BASE, **base}, name="x")


def test_a_tensor_without_a_place_is_refused(tmp_path: Path) -> None:
    """An embedding's, say: left out in silence it would answer differently."""
    from safetensors.numpy import load_file, save_file

    weights = write(tmp_path) / "adapter_model.safetensors"
    save_file({**load_file(weights), "base_model.model.lm_head.lora_A.weight": np.zeros((4, 64), np.float32)}, weights)
    with pytest.raises(AdapterMismatch, match="lm_head"):
        build_gguf(weights.parent, BASE, name="x")


@pytest.mark.parametrize(
    ("dtype", "raw"),
    [("BF16", b"\xc0\x3f"), ("F16", b"\x00\x3e"), ("F32", b"\x00\x00\xc0\x3f"), ("F64", b"\0" * 6 + b"\xf8\x3f")],
)
def test_every_float_reads_the_same(dtype: str, raw: bytes) -> None:
    """1.5 in four widths."""
    assert read_floats(raw, Tensor(dtype, (1, 1), 0, len(raw))).tolist() == [[1.5]]


def test_pairs_are_what_llama_cpp_permutes() -> None:
    """Two heads of four rows each."""
    rows = np.arange(8.0).reshape(8, 1)
    assert pair_rows(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
