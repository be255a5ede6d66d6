"""What several processes see of a step is together what one would see, each row once."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from peft_studio.core.estimators.shares import Share
from peft_studio.runner.trainer.dealing import DealtBatches, Part, build_filler, deal
from peft_studio.runner.trainer.order import LongestFirst
from peft_studio.runner.trainer.rows import IGNORED
from peft_studio.runner.trainer.world import World

ROWS = 44


def dealt(size: int, share: Share, *, epoch: int) -> list[list[list[int]]]:
    """For each step of an epoch its micro-batches, of all processes."""
    ranks = []
    for rank in range(size):
        order = LongestFirst(ROWS, batch_size=4, seed=5, need=sum)
        batches = DealtBatches(order, Part(World(rank, size, rank), share, step_items=8, micro_items=4))
        batches.set_epoch(epoch)
        assert len(list(batches)) == len(batches)
        ranks.append(list(batches))
    count = share.micro_batches
    return [
        [micro for number in range(at, at + count) for rank in ranks for micro in [rank[number]]]
        for at in range(0, len(ranks[0]), count)
    ]


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize(
    ("size", "share"), [(2, Share(4, 1)), (3, Share(3, 1)), (4, Share(2, 1)), (8, Share(1, 1)), (5, Share(2, 1))]
)
def test_a_step_sees_the_rows_it_would_see_with_one(size: int, share: Share, epoch: int) -> None:
    """In their order, none twice, none left out; also in the last step, which has four rows only."""
    order = LongestFirst(ROWS, batch_size=4, seed=5, need=sum)
    order.set_epoch(epoch)
    rows = list(order)

    steps = dealt(size, share, epoch=epoch)

    assert [[row for micro in step for row in micro] for step in steps] == [
        rows[at : at + 8] for at in range(0, ROWS, 8)
    ]
    assert all(len(micro) <= share.items for step in steps for micro in step)


def test_whole_micro_batches_stay_together() -> None:
    """Two processes with half the accumulation see the very micro-batches of one."""
    order = LongestFirst(ROWS, batch_size=4, seed=5, need=sum)
    rows = list(order)

    assert dealt(2, Share(4, 1), epoch=0)[0] == [rows[:4], rows[4:8]]


def test_hands_differ_by_one_at_most() -> None:
    """Whatever there is to deal."""
    for items in range(12):
        for hands in range(1, 9):
            sizes = [len(hand) for hand in deal(list(range(items)), hands)]
            assert (sum(sizes), len(sizes)) == (items, hands)
            assert max(sizes) - min(sizes) <= 1


def test_a_filler_teaches_nothing() -> None:
    """It has tokens to go through, and none to learn."""
    assert build_filler({"input_ids": [5, 6, 7], "labels": [5, 6, 7]}) == {"input_ids": [5, 6], "labels": [IGNORED] * 2}
