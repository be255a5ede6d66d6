"""The smallest card for rent, by method."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from peft_studio.core.compute import GPUS, find_gpu
from peft_studio.core.services.gpu_fit import find_smallest, gpus_sentence, machine_of
from peft_studio.core.services.model_fit import fit_methods
from tests.unit.core.services.test_model_fit import LLAMA_8B


def test_the_smallest_card_is_named() -> None:
    """Least memory and then the slowest; QLoRA needs no larger one than LoRA; nothing smaller fits."""
    lora, qlora = find_smallest(LLAMA_8B)

    assert gpus_sentence((lora, qlora)) == "fits an RTX 3090 (24 GiB) with LoRA, an RTX A4000 (16 GiB) with QLoRA"
    assert lora.gpu is not None
    assert "RTX 4090" in lora.others
    smaller = [gpu for gpu in GPUS if gpu.bf16 and gpu.memory_gib < lora.gpu.memory_gib]
    assert smaller
    assert all(fit_methods(LLAMA_8B, machine_of(gpu))[0].fit != "ok" for gpu in smaller)
    assert lora.found == fit_methods(LLAMA_8B, machine_of(lora.gpu))[0]


def test_any_cards_can_be_handed_in() -> None:
    """What an offer has: only these are looked at, in any order; those without bfloat16 are not."""
    big, small, old = find_gpu("H100"), find_gpu("RTX 4090"), find_gpu("V100 SXM2 32GB")
    assert big
    assert small
    assert old
    offered = dataclasses.replace(small, name="Offer 1", memory_gib=48)

    assert [one.gpu for one in find_smallest(LLAMA_8B, [big, offered, old])] == [offered, offered]
    assert gpus_sentence(find_smallest(LLAMA_8B, [offered])) == "fits an Offer 1 (48 GiB) with LoRA or QLoRA"
    assert find_smallest(LLAMA_8B, [old]) == ()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, ""),
        ({**LLAMA_8B, "hidden_size": 32768, "num_hidden_layers": 200}, "no single GPU of the table is enough"),
        ({**LLAMA_8B, "hidden_size": 8192, "num_hidden_layers": 300, "num_attention_heads": 64}, "; no single GPU is enough for LoRA"),
    ],
)  # fmt: skip
def test_where_none_is_enough_it_is_said(config: dict[str, Any], said: str) -> None:
    """For both methods, for one of them; where shapes are not known nothing is."""
    sentence = gpus_sentence(find_smallest(config))

    assert sentence.endswith(said)
    assert bool(sentence) == bool(said)
