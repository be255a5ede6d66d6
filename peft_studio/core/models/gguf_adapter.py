"""A LoRA in llama.cpp's own format: what runs beside a GGUF base there, and in Ollama. numpy alone; no torch, no base weights.

Format: the GGUF specification, version 3, and the names and keys that llama.cpp's convert_lora_to_gguf.py writes. llama.cpp scales by
alpha / rank, so that rsLoRA's alpha / √rank is written as another alpha. A llama base has the rows of its q and k in pairs that lie
together, where transformers has halves (rotate_half); of a LoRA only B has those rows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import AdapterMismatch
from peft_studio.core.models.adapter_files import WEIGHTS, read_adapter
from peft_studio.core.models.weights import Tensor, read_header

if TYPE_CHECKING:
    import numpy

ARCHITECTURES = {  # transformers' model_type → llama.cpp's name, for families whose modules are named as below
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3",
}  # fmt: skip
PAIRED = frozenset({"llama"})  # architectures whose q and k are kept in pairs
MODULES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
ALIGNMENT = 32
_STRING, _FLOAT, _F32 = 8, 6, 0
_KEY = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight")


def find_reason_against(config: Mapping[str, Any], base_config: Mapping[str, Any]) -> str:
    """Why an adapter cannot be written as GGUF; empty where it can."""
    if config.get("peft_type") != "LORA":
        return f"its kind is {config.get('peft_type')!r}, and llama.cpp reads LoRA alone"
    if config.get("use_dora"):
        return "llama.cpp has no form for DoRA; it has to be merged into its base"
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        return "its layers have ranks or alphas of their own, and llama.cpp knows one alpha for all"
    family = base_config.get("model_type")
    if family not in ARCHITECTURES:
        return f"how llama.cpp names the layers of {family or 'an unknown family'} is not known here"
    return ""


def check_places(folder: Path) -> None:
    """Whether llama.cpp has a place for every tensor of an adapter.

    Raises:
        AdapterMismatch: It has none for one of them: left out in silence, the adapter would answer differently.
    """
    for key in read_header(folder / WEIGHTS):
        found = _KEY.fullmatch(key)
        if found is None or found[2] not in MODULES:
            raise AdapterMismatch(
                f"llama.cpp has no place for {key} in an adapter.", hint="Push it to Hugging Face instead."
            )


def build_gguf(folder: Path, base_config: Mapping[str, Any], *, name: str) -> bytes:
    """An adapter folder of peft as one GGUF file.

    Raises:
        AdapterMismatch: It has no form in llama.cpp, or the folder is not whole.
    """
    config = read_adapter(folder).config
    if reason := find_reason_against(config, base_config):
        raise AdapterMismatch(
            f"This adapter cannot be written as GGUF: {reason}.", hint="Push it to Hugging Face instead."
        )
    check_places(folder)
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    facts: dict[str, str | float] = {
        "general.architecture": ARCHITECTURES[base_config["model_type"]],
        "general.type": "adapter",
        "general.name": name,
        "adapter.type": "lora",
        "adapter.lora.alpha": alpha * rank**0.5 if config.get("use_rslora") else alpha,
    }
    return _pack(facts, dict(_build_tensors(folder / WEIGHTS, base_config)))


def _build_tensors(path: Path, base_config: Mapping[str, Any]) -> Iterator[tuple[str, numpy.ndarray]]:
    heads = int(base_config["num_attention_heads"])
    paired = ARCHITECTURES[base_config["model_type"]] in PAIRED
    by_module = {"attn_q": heads, "attn_k": int(base_config.get("num_key_value_heads") or heads)}
    with path.open("rb") as file:
        for key, tensor in sorted(read_header(path).items()):
            found = _KEY.fullmatch(key)
            assert found is not None
            module = MODULES[found[2]]
            file.seek(tensor.start)
            values = read_floats(file.read(tensor.end - tensor.start), tensor)
            if found[3] == "B" and paired and module in by_module:
                values = pair_rows(values, by_module[module])
            yield f"blk.{found[1]}.{module}.weight.lora_{found[3].lower()}", values


def pair_rows(values: numpy.ndarray, heads: int) -> numpy.ndarray:
    """Rows from halves to pairs, head by head: row i and row i + half become neighbours."""
    out, rank = values.shape
    return values.reshape(heads, 2, out // heads // 2, rank).swapaxes(1, 2).reshape(out, rank)


def read_floats(raw: bytes, tensor: Tensor) -> numpy.ndarray:
    """A tensor's bytes as float32, whatever float they are."""
    import numpy

    if tensor.dtype == "BF16":  # the upper half of a float32
        found = (numpy.frombuffer(raw, numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
    else:
        kinds = {"F64": numpy.float64, "F32": numpy.float32, "F16": numpy.float16}
        if tensor.dtype not in kinds:
            raise AdapterMismatch(
                f"The adapter's numbers are {tensor.dtype}, not floats.", hint="Save it again as float32."
            )
        found = numpy.frombuffer(raw, kinds[tensor.dtype]).astype(numpy.float32)
    return found.reshape(tensor.shape)


def _pack(facts: Mapping[str, str | float], tensors: Mapping[str, numpy.ndarray]) -> bytes:
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(facts))]
    for key, value in facts.items():
        packed = (_STRING, _text(value)) if isinstance(value, str) else (_FLOAT, struct.pack("<f", value))
        head.append(_text(key) + struct.pack("<I", packed[0]) + packed[1])
    offset, bodies = 0, []
    for key, values in tensors.items():
        body = values.astype("<f4").tobytes()
        sizes = values.shape[::-1]  # the innermost dimension first
        head.append(_text(key) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, _F32, offset))
        bodies.append(_padded(body))
        offset += len(bodies[-1])
    return _padded(b"".join(head)) + b"".join(bodies)


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % ALIGNMENT)
