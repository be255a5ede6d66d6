"""Which micro-batch comes first, and that shuffling stays what it was."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from accelerate.data_loader import SeedableRandomSampler

from peft_studio.runner.trainer.order import Layout, LongestFirst, put_longest_first

LENGTHS = [5, 9, 4, 30, 7, 8, 6, 2, 3, 11]


def visit(epoch: int, *, seed: int = 3, need: object = None) -> list[int]:
    """The rows of an epoch in order, two a micro-batch."""
    sampler = LongestFirst(len(LENGTHS), batch_size=2, seed=seed, need=need or Layout(LENGTHS).need)  # type: ignore[arg-type]
    sampler.set_epoch(epoch)
    return list(sampler)


def test_the_first_epoch_begins_with_the_longest_row_and_its_company() -> None:
    """Two micro-batches change places whole; everything else stays as accelerate's shuffle has it, other epochs entirely."""
    shuffle = SeedableRandomSampler(LENGTHS, data_seed=3)
    before, next_epoch = list(shuffle), list(shuffle)
    after = visit(0)

    at = before.index(3) // 2 * 2
    assert after[:2] == before[at : at + 2]
    assert after[at : at + 2] == before[:2]
    assert [row for place, row in enumerate(after) if place not in {0, 1, at, at + 1}] == [
        row for place, row in enumerate(before) if place not in {0, 1, at, at + 1}
    ]
    assert visit(1) == next_epoch
    assert visit(0) == after
    assert visit(0, seed=4) != after


def test_an_incomplete_last_micro_batch_stays_last() -> None:
    """Whatever it holds: moved, it would shift the limits of all others."""
    assert put_longest_first([0, 1, 2, 3, 4], 2, lambda items: max(items)) == [2, 3, 0, 1, 4]
    assert put_longest_first([0, 1], 4, max) == [0, 1]


def test_what_a_micro_batch_takes() -> None:
    """Padded rows take the longest one's length each, flat ones their own; packed items are micro-batches."""
    assert Layout(LENGTHS).need([2, 3]) == 60
    assert Layout(LENGTHS).find_neediest(3) == [3, 9, 1]
    bins = [[0, 1, 2], [3], [5, 4, 9]]  # 18, 30 and 26 tokens; padded 27, 30 and 33
    assert Layout(LENGTHS, flat=True, bins=bins).find_neediest(4) == [1]
    assert Layout(LENGTHS, bins=bins).find_neediest(4) == [2]
