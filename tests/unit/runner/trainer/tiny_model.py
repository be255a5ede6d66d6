"""A random Llama of 40 thousand parameters with a tokenizer and a chat template, and adapters for it: built in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = [
    "the",
    "capital",
    "of",
    "france",
    "is",
    "paris",
    "a",
    "cat",
    "dog",
    "runs",
    "fast",
    "json",
    "name",
    "city",
    "zero",
    "one",
    "two",
    "three",
    "yes",
    "no",
]
TEMPLATE = (
    "{% for m in messages %}{% if not m['role'] %}{{ raise_exception('a message without role') }}{% endif %}<|im_start|>{{ m['role'] }} {{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def save_tiny_model(folder: Path, *, seed: int = 0, hidden: int = 64, layers: int = 2) -> Path:
    """Save a model and its tokenizer into ``folder`` and return it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():  # larger weights than the default's, so that answers differ
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_tokenizer() -> Any:
    """A word-level tokenizer with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<|im_start|>", "<|im_end|>"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocab = {word: number for number, word in enumerate([*special, *dict.fromkeys(["▁" + w for w in WORDS] + letters)])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    core.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="<unk>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def save_adapter(
    model_folder: Path, folder: Path, *, seed: int, rank: int = 4, targets: Any = "all-linear", **more: Any
) -> Path:
    """Save a random adapter that visibly changes answers (``init_lora_weights=False``) and return its folder."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    settings = {"r": rank, "lora_alpha": 2 * rank, "target_modules": targets, "init_lora_weights": False, **more}
    config = LoraConfig(task_type="CAUSAL_LM", **settings)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model_folder), config).save_pretrained(folder)
    return folder
