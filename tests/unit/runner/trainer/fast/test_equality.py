"""The fast path against the reference: same loss, same gradients, for every architecture and method it says it supports."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from peft_studio.runner.trainer import fast
from peft_studio.runner.trainer.fast.equality import Difference, Distance
from tests.unit.runner.trainer.fast.tiny_models import (
    CONFIGS,
    METHODS,
    build_model,
    build_rows,
    gradients,
    largest_difference,
)

EXACT = Distance(1e-5, 1e-4, 1e-4)  # fp32
ROUNDED = Distance(1e-3, 5e-2, 5e-2)  # bf16: measured 6e-5 in loss and 1.8e-2 in the worst tensor of these models


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", CONFIGS)
def test_fp32_is_equal_to_the_reference(family: str, method: str, share: bool) -> None:
    """Reordered sums are all that may differ."""
    model = build_model(family, method)
    assert fast.unsupported(model) is None
    difference = fast.compare(model, build_rows(prefix=4, untrained=6), tolerance=EXACT, share_prefix=share)
    assert difference.within, str(difference)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", CONFIGS)
def test_bf16_is_equal_up_to_rounding(family: str, method: str) -> None:
    """With a bf16 base and fp32 adapters the two loops round in other places, and no more than that."""
    difference = fast.compare(build_model(family, method, dtype=torch.bfloat16), build_rows(), tolerance=ROUNDED)
    assert difference.within, str(difference)
    assert difference.found.gradient > 0


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_tied_embeddings_and_biases_are_equal(tied: bool, bias: bool) -> None:
    """An output layer that is the embedding, and projections with a bias, change nothing."""
    model = build_model(tie_word_embeddings=tied, attention_bias=bias, mlp_bias=bias)
    assert fast.compare(model, build_rows(), tolerance=EXACT).within


def test_full_sequence_loss_with_a_shared_prefix_is_equal() -> None:
    """Prefix tokens that are trained count once a row, although they are stored once."""
    rows = build_rows(prefix=5, untrained=0)
    assert fast.FlatCollator(share_prefix=True)(rows)["shared_prefix"].item() == 5
    assert fast.compare(build_model(), rows, tolerance=EXACT, share_prefix=True).within


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_dropout_draws_the_noise_that_peft_draws(method: str) -> None:
    """On one row, where both loops see the same shapes, the same seed gives the same masks, hence the same gradients."""
    model, rows = build_model(method=method, dropout=0.3), build_rows((24,))
    reference = {"input_ids": torch.tensor([rows[0]["input_ids"]]), "labels": torch.tensor([rows[0]["labels"]])}
    torch.manual_seed(5)
    expected = model(**reference, use_cache=False).loss
    wanted = gradients(model, expected)
    path, batch = fast.install(model), fast.FlatCollator()(rows)
    torch.manual_seed(5)
    loss = path.loss(batch)
    assert abs(loss.item() - expected.item()) < 1e-5
    assert largest_difference(wanted, gradients(model, loss)) < 1e-4
    assert abs(path.loss(batch).item() - expected.item()) > 1e-4  # the next draw is another one: dropout is really on


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_gradient_checkpointing_gives_the_same_gradients(reentrant: bool, dropout: float) -> None:
    """Recomputing a layer in the backward pass finds segments and noise again."""
    model, batch = build_model(dropout=dropout), fast.FlatCollator(share_prefix=True)(build_rows(prefix=4))
    path = fast.install(model)
    torch.manual_seed(3)
    wanted = gradients(model, path.loss(batch))
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    torch.manual_seed(3)
    path.loss(batch).backward()
    got = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert largest_difference(wanted, got) < 1e-6


def test_the_loss_is_normalised_over_the_accumulation_window() -> None:
    """Two micro-batches, each divided by the tokens of both, add up to the mean over both."""
    model, rows = build_model(), build_rows()
    path, collator = fast.install(model), fast.FlatCollator()
    whole = path.loss(collator(rows))
    parts = [collator(rows[:1]), collator(rows[1:])]
    count = sum(part["shift_labels"].numel() for part in parts)
    assert sum(path.loss(part, torch.tensor(count)).item() for part in parts) == pytest.approx(whole.item(), rel=1e-5)


def test_a_micro_batch_without_a_trained_token_adds_nothing() -> None:
    """Its loss is zero and has a graph, so accumulation goes on."""
    model = build_model()
    loss = fast.install(model).loss(fast.FlatCollator()(build_rows((7,), untrained=7)), 10)
    loss.backward()
    assert loss.item() == 0
    assert all(not parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)


def test_many_chunks_of_positions_are_equal_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss does not depend on how many positions the output layer handles at once."""
    monkeypatch.setattr("peft_studio.runner.trainer.fast.loss.CHUNK_BYTES", 4 * 300 * 5)
    assert fast.compare(build_model(), build_rows(), tolerance=EXACT).within


def test_comparing_leaves_the_model_as_it_was() -> None:
    """Parameters, gradients, mode, random state and forward methods are those of before."""
    model = build_model(dropout=0.1)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.zeros_(parameter)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    state = torch.get_rng_state()
    assert fast.compare(model, build_rows(), tolerance=EXACT).within
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training and "forward" not in module.__dict__ for module in model.modules())


def test_a_model_that_differs_is_not_within(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: a norm that means something else than the patch thinks shows in loss and gradient."""
    model = build_model()
    norm = type(model.get_base_model().model.norm)
    monkeypatch.setattr(norm, "forward", lambda self, x: 1.1 * x * self.weight)
    difference = fast.compare(model, build_rows())
    assert not difference.within
    assert difference.found.loss > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_layer_that_computes_something_else_is_not_within(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in a single layer hides in the whole gradient, and not in its own tensors, whatever bf16 rounds."""
    model = build_model(dtype=dtype)
    layer = model.get_base_model().model.layers[0].self_attn.v_proj
    install = fast.install

    def wrongly(model: Any) -> Any:
        path = install(model)
        layer.scaling["default"] *= 1.5
        return path

    monkeypatch.setattr("peft_studio.runner.trainer.fast.equality.install", wrongly)
    assert not fast.compare(model, build_rows()).within


@pytest.mark.parametrize("at", range(3))
def test_not_a_number_is_not_within(at: int) -> None:
    """A comparison that overflowed proves nothing."""
    found = [0.0, 0.0, 0.0]
    found[at] = float("nan")
    assert Difference(Distance(0.0, 0.0, 0.0), EXACT).within
    assert not Difference(Distance(*found), EXACT).within
