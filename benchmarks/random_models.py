"""Base models with random weights, a tokenizer of bytes, and rows of chosen lengths: neither values nor words decide time."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

TOKENS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-3m": ("llama", {
        "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 6, "num_key_value_heads": 2,
        "vocab_size": 4096, "max_position_embeddings": 2048, "tie_word_embeddings": True, **TOKENS,
    }),
    "qwen2-20m": ("qwen2", {
        "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 6, "num_key_value_heads": 2,
        "vocab_size": 16384, "max_position_embeddings": 2048, "tie_word_embeddings": True, **TOKENS,
    }),
    "gpt2-40m": ("gpt2", {"n_embd": 512, "n_layer": 8, "n_head": 8, "vocab_size": 32768, "n_positions": 1024, **TOKENS}),
    "llama-70m": ("llama", {
        "hidden_size": 640, "intermediate_size": 1792, "num_hidden_layers": 12, "num_attention_heads": 10, "num_key_value_heads": 5,
        "vocab_size": 32768, "max_position_embeddings": 2048, "tie_word_embeddings": True, **TOKENS,
    }),
    "smollm2-135m": ("llama", {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "vocab_size": 49152, "max_position_embeddings": 8192, "tie_word_embeddings": True, **TOKENS,
    }),
    # the shapes of Llama 3.2 1B and Llama 3.1 8B: for a GPU
    "llama-1b": ("llama", {
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 128256, "max_position_embeddings": 8192, "tie_word_embeddings": True, **TOKENS,
    }),
    "llama-8b": ("llama", {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 128256, "max_position_embeddings": 8192, "tie_word_embeddings": False, **TOKENS,
    }),
}  # fmt: skip


def write_model(
    name: str, folder: Path, *, families: dict[str, tuple[str, dict[str, Any]]] = FAMILIES, device: str = "cpu"
) -> Path:
    """A model of these shapes, seeded, with the tokenizer of bytes; written once. One that is made on a GPU is in bfloat16."""
    if (folder / "tokenizer_config.json").exists():
        return folder
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    family, fields = families[name]
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **fields), dtype=dtype)
    model.save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0, "</s>": 1, **{one: at + 2 for at, one in enumerate(alphabet)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def write_rows(path: Path, count: int, *, mean_tokens: int, seed: int = 0) -> Path:
    """Pairs whose lengths are log-normal around a mean, as those of real data sets are; a third of each is the answer."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        length = max(8, round(mean_tokens * draw.lognormvariate(-0.08, 0.4)))
        text = f"{chr(ord('a') + number % 26)}{number} " + "".join(draw.choice("abcdefgh ") for _ in range(length))
        rows.append({"prompt": text[: length * 2 // 3], "completion": text[length * 2 // 3 : length]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
