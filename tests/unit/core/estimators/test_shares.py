"""A process's part of a step, against arithmetic by hand."""

from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.estimators.shares import Share, share_step, step_items
from peft_studio.core.spec import DataRef, RunSpec


def spec_of(**fields: Any) -> RunSpec:
    return RunSpec.build(
        model="org/base",
        data=DataRef(path="rows", origin="rows", format="messages", rows=400, sha256="0" * 64),
        **fields,
    )


@pytest.mark.parametrize(
    ("batch", "accumulation", "processes", "share"),
    [
        (4, 4, 1, Share(4, 4)),
        (4, 4, 2, Share(4, 2)),
        (4, 4, 4, Share(4, 1)),
        (4, 4, 8, Share(2, 1)),  # 16 rows over 8
        (4, 4, 16, Share(1, 1)),
        (4, 4, 3, Share(3, 2)),  # 16 rows, 12 at once at most: two rounds, of 8 rows or 9 places
        (4, 1, 2, Share(2, 1)),
        (1, 16, 4, Share(1, 4)),
        (1, 5, 2, Share(1, 3)),  # 5 rows: one hand of the last round is empty
        (1, 1, 8, Share(1, 1)),
    ],
)
def test_fewest_and_smallest_micro_batches(batch: int, accumulation: int, processes: int, share: Share) -> None:
    """No micro-batch is larger than the spec's, and all rows of the step have a place."""
    spec = spec_of(batch_size=batch, gradient_accumulation_steps=accumulation)

    found = share_step(spec, processes)

    assert found == share
    assert found.items <= batch
    assert found.items * found.micro_batches * processes >= step_items(spec) == batch * accumulation


def test_packed_micro_batches_stay_whole() -> None:
    """One of them is all that a process takes at once."""
    spec = spec_of(batch_size=8, gradient_accumulation_steps=4, packing=True)

    assert (step_items(spec), share_step(spec, 2), share_step(spec, 1)) == (4, Share(1, 2), Share(1, 4))
