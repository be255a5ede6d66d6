"""The packing trap: rows of one flat row must not see each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from peft_studio.runner.trainer import fast
from tests.unit.runner.trainer.fast.tiny_models import build_model, build_rows, gradients, largest_difference

Measured = tuple[float, dict[str, torch.Tensor]]


def alone(model: Any, rows: list[dict[str, list[int]]]) -> Measured:
    """Loss and gradients with every row run by itself, weighted as one batch."""
    count = sum(label != -100 for row in rows for label in row["labels"][1:])
    total = sum(
        model(
            input_ids=torch.tensor([row["input_ids"]]),
            labels=torch.tensor([row["labels"]]),
            num_items_in_batch=count,
            use_cache=False,
        ).loss
        for row in rows
    )
    return total.item(), gradients(model, total)


def apart(model: Any, reference: Measured, loss: torch.Tensor) -> tuple[float, float]:
    """Differences of loss and gradient from the rows run alone."""
    return abs(loss.item() - reference[0]), largest_difference(reference[1], gradients(model, loss))


@pytest.mark.parametrize("share", [False, True])
def test_rows_of_a_flat_row_do_not_see_each_other(share: bool) -> None:
    """The flat row gives what the rows give when each is run alone."""
    model, rows = build_model(), build_rows(prefix=4)
    reference = alone(model, rows)
    loss, gradient = apart(model, reference, fast.install(model).loss(fast.FlatCollator(share_prefix=share)(rows)))
    assert loss < 1e-5
    assert gradient < 1e-4


@pytest.mark.parametrize("trap", [{"use_cache": True}, {"attention_mask": True}])
def test_the_naive_packed_call_really_differs(trap: dict[str, bool]) -> None:
    """transformers isolates rows by position_ids only without cache and mask; otherwise they leak, and this measure sees it."""
    model, rows = build_model(), build_rows()
    reference, batch = alone(model, rows), fast.FlatCollator()(rows)
    packed = {name: batch[name] for name in ("input_ids", "labels", "position_ids")}
    isolated = apart(model, reference, model(**packed, use_cache=False).loss)
    assert isolated[0] < 1e-5
    assert isolated[1] < 1e-4
    more = (
        {"use_cache": True}
        if "use_cache" in trap
        else {"use_cache": False, "attention_mask": torch.ones_like(packed["input_ids"])}
    )
    leaking = apart(model, reference, model(**packed, **more).loss)
    assert leaking[1] > 1e-2


def test_changing_one_row_changes_no_other() -> None:
    """The gradient of one row's loss with respect to another row's tokens is exactly zero."""
    model, rows = build_model(), build_rows((6, 9))
    rows[0]["labels"] = [-100] * 6
    path = fast.install(model)
    embedded: list[torch.Tensor] = []

    def keep(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    with_hook = model.get_input_embeddings().register_forward_hook(keep)
    path.loss(fast.FlatCollator()(rows)).backward()
    with_hook.remove()
    assert not embedded[0].grad[0, :6].any()
    assert embedded[0].grad[0, 6:].any()
