"""What is loaded when memory is short."""

from __future__ import annotations

import pytest

from peft_studio.core.models import ModelFailure, build_model_facts
from peft_studio.core.models.fit import choose_fit, estimate_chat_bytes
from peft_studio.core.models.weights import Tensor

# A model of about 1.1 billion parameters, 100 million of them embeddings.
TENSORS = {
    "model.embed_tokens.weight": Tensor("F32", (50_000, 2_000), 0, 0),
    **{f"model.layers.{n}.mlp.up_proj.weight": Tensor("F32", (10_000, 10_000), 0, 0) for n in range(10)},
}
FACTS = build_model_facts({"num_hidden_layers": 10, "num_attention_heads": 8, "hidden_size": 512})


@pytest.mark.parametrize(("free_gb", "chosen"), [(100, None), (6, None), (4, "nf4"), (2, "nf4")])
def test_nf4_is_chosen_only_when_memory_is_short(free_gb: float, chosen: str | None) -> None:
    """Enough memory: nothing changes. Too little: nf4, with a sentence that has both figures."""
    fit = choose_fit(TENSORS, FACTS, free_bytes=int(free_gb * 1e9), precision="fp32")
    assert fit.quantization == chosen
    assert fit.needs_bytes <= fit.free_bytes
    assert bool(fit.reason) == (chosen is not None)
    if chosen:
        assert f"{free_gb:.1f} GB is free" in fit.reason


def test_nothing_fits() -> None:
    """When not even nf4 fits, the failure says how much is missing instead of starting to swap."""
    with pytest.raises(ModelFailure) as caught:
        choose_fit(TENSORS, FACTS, free_bytes=int(1e9), precision="fp32")
    assert caught.value.code == "no-memory"
    assert "1.0 GB is free" in caught.value.message


def test_embeddings_are_not_quantised() -> None:
    """bitsandbytes leaves embeddings alone, so they count in full: 0.4 GB of fp32 and 1 billion weights of about half a byte."""
    estimate = estimate_chat_bytes(TENSORS, FACTS, precision="fp32", nf4=True, on_gpu=True)
    cache = 10 * 2 * 8 * 64 * 2048 * 4
    assert estimate == pytest.approx(1.1 * (0.4e9 + 1e9 * 4.127 / 8 + cache), rel=1e-6)
