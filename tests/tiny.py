"""A random Llama of a hundred thousand parameters, its tokenizer and a data set: small enough that a whole run takes seconds.

The tokenizer knows the 256 bytes, some frequent pairs and ChatML's markers. Weights are seeded: every session has the same model.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CITIES = ("Turin", "Oslo", "Lima", "Accra", "Porto", "Delft", "Quito", "Osaka")
ITEMS = ("rain coats", "tea cups", "lamps", "maps", "brushes", "bells", "drums", "kites")


def write_model(folder: Path, *, seed: int = 0) -> Path:
    """Save the model into ``folder``: config, safetensors, tokenizer and template, as a download would have them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    size = write_tokenizer(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=size, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=size - 2, eos_token_id=size - 1, pad_token_id=size - 3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path) -> int:
    """Save tokenizer and template; return the size of the vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator([f"{row['prompt']} {row['completion']}" for row in build_rows(64)], trainer)
    tokenizer.add_special_tokens(
        [AddedToken(text, normalized=False) for text in ("<|pad|>", "<|im_start|>", "<|im_end|>")]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
        "pad_token": "<|pad|>", "add_bos_token": False, "model_max_length": 512,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return tokenizer.get_vocab_size()


def build_rows(count: int, *, seed: int = 0) -> list[dict[str, str]]:
    """Orders in words and as JSON; row n is the same whatever ``count`` is."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        city, item, amount = draw.choice(CITIES), draw.choice(ITEMS), draw.randint(1, 99)
        more = " Thank you very much." * (number % 4)  # rows of unequal length
        answer = json.dumps({"item": item, "quantity": amount, "city": city})
        rows.append({"prompt": f"Please send {amount} {item} to {city}.{more}", "completion": answer})
    return rows


def write_rows(path: Path, count: int, *, seed: int = 0) -> Path:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in build_rows(count, seed=seed)), encoding="utf-8")
    return path
