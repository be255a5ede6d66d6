"""llama.cpp itself, from PyPI (xllamacpp), in a process of its own: a llama base as F32 GGUF, and greedy answers with an adapter.

As a program: ``python llamacpp.py BASE.gguf ADAPTER.gguf|- COUNT`` reads prompts as JSON lists of tokens, a line each, from standard input,
and writes as many tokens of answer for each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

OURS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
}  # fmt: skip


def write_base(folder: Path, path: Path) -> Path:
    """A llama, mistral, qwen2 or qwen3 in ``folder`` as F32 GGUF. Its vocabulary has no merges: prompts here are tokens already."""
    import gguf
    import numpy as np
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    family = {"mistral": "llama"}.get(config["model_type"], config["model_type"])
    width = config.get("head_dim") or config["hidden_size"] // heads
    writer = gguf.GGUFWriter(path, family)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float((config.get("rope_parameters") or config).get("rope_theta", 10_000.0)))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"t{number}" for number in range(config["vocab_size"])])
    writer.add_token_merges(["t 0"])
    writer.add_token_types([1] * config["vocab_size"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    for name, tensor in load_file(folder / "model.safetensors").items():
        values = tensor.float().numpy()
        stem, _, kind = name.removeprefix("model.").rpartition(".")
        if stem.startswith("layers."):
            _, layer, module = stem.split(".", 2)
            if family == "llama" and module in ("self_attn.q_proj", "self_attn.k_proj"):
                count = heads if module.endswith("q_proj") else kv_heads
                values = values.reshape(count, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
            there = f"blk.{layer}.{OURS[module]}.{kind}"
        else:
            there = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}[stem] + ".weight"
        writer.add_tensor(there, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def answer(base: Path, adapter: Path | None, prompts: Sequence[Sequence[int]], *, count: int) -> list[list[int]]:
    """What llama.cpp says, greedily, token by token."""
    command = [sys.executable, __file__, str(base), str(adapter or "-"), str(count)]
    lines = "\n".join(json.dumps(list(prompt)) for prompt in prompts)
    ran = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [json.loads(line.removeprefix("answer ")) for line in ran.stdout.splitlines() if line.startswith("answer ")]


def main() -> None:
    import xllamacpp as engine

    base, adapter, count = sys.argv[1:]
    params = engine.CommonParams()
    params.model.path = base
    params.n_ctx, params.n_parallel, params.warmup, params.cpuparams.n_threads = 256, 1, False, 1
    if adapter != "-":
        lora = engine.CommonAdapterLoraInfo()
        lora.path, lora.scale = adapter, 1.0
        params.lora_adapters = [lora]
    server = engine.Server(params)
    for line in sys.stdin:
        asked = {
            "prompt": json.loads(line), "n_predict": int(count), "temperature": 0.0, "top_k": 1, "return_tokens": True, "ignore_eos": True,
            "cache_prompt": False, "seed": 1,
        }  # fmt: skip
        where = f"{server.listening_address}/completion"
        request = urllib.request.Request(where, json.dumps(asked).encode(), {"Content-Type": "application/json"})
        said = json.load(urllib.request.urlopen(request, timeout=60))
        assert "error" not in said, said
        print("answer", json.dumps(said["tokens"]), flush=True)


if __name__ == "__main__":
    main()
