"""Flat rows and packing: the layout, without a model."""

from __future__ import annotations

import random

import pytest

from peft_studio.runner.trainer.fast import FlatCollator, pack_rows
from peft_studio.runner.trainer.fast.rows import common_prefix

A = {"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4]}
B = {"input_ids": [1, 2, 9], "labels": [1, 2, 9]}


def test_rows_lie_end_to_end_without_padding() -> None:
    """Tokens follow each other, positions restart, and no row is asked to predict the next row's first token."""
    batch = FlatCollator()([A, B])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 1, 2, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert batch["labels"].tolist() == [[-100, -100, 3, 4, -100, 2, 9]]
    assert batch["segment_lengths"].tolist() == [4, 3]
    assert batch["trained_positions"].tolist() == [[1, 2, 4, 5]]
    assert batch["shift_labels"].tolist() == [[3, 4, 2, 9]]


def test_a_shared_prefix_is_stored_once_and_trained_for_every_row() -> None:
    """What all rows begin with stands once; predictions made on it count once a row that trains them."""
    batch = FlatCollator(share_prefix=True)([A, B])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 2]]
    assert batch["shared_prefix"].tolist() == [2]
    assert batch["segment_lengths"].tolist() == [2, 1]
    # A: token 3 stands on position 1 and 4 on position 2. B: 2 stands on 0, and 9 on 1, the end of the prefix.
    assert batch["trained_positions"].tolist() == [[1, 2, 0, 1]]
    assert batch["shift_labels"].tolist() == [[3, 4, 2, 9]]


@pytest.mark.parametrize("share", [False, True])
def test_every_trained_token_is_predicted_from_the_token_before_it(share: bool) -> None:
    """Whatever the layout, position and target are (token j - 1 of a row, label j of the same row), each once."""
    chance = random.Random(3)
    rows = []
    for _ in range(5):
        ids = [7, 8, 9] + [chance.randint(10, 99) for _ in range(chance.randint(1, 12))]
        rows.append({"input_ids": ids, "labels": [label if chance.random() < 0.6 else -100 for label in ids]})
    batch = FlatCollator(share_prefix=share)(rows)
    tokens, positions = batch["input_ids"][0].tolist(), batch["position_ids"][0].tolist()
    got = [
        (tokens[at], positions[at], label)
        for at, label in zip(batch["trained_positions"][0].tolist(), batch["shift_labels"][0].tolist(), strict=True)
    ]
    wanted = [
        (row["input_ids"][at - 1], at - 1, row["labels"][at])
        for row in rows
        for at in range(1, len(row["labels"]))
        if row["labels"][at] != -100
    ]
    assert got == wanted


def test_common_prefix_leaves_every_row_a_token_of_its_own() -> None:
    """Equal rows and rows that begin one another keep a stretch of at least one token."""
    assert common_prefix([B, B]) == 2
    assert common_prefix([{"input_ids": [1, 2]}, {"input_ids": [1, 2, 3]}]) == 1
    assert common_prefix([B]) == 0
    assert common_prefix([B, {"input_ids": [5, 2]}]) == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([{"input_ids": [], "labels": []}], "no token"),
        ([{"input_ids": [1], "labels": []}], "1 tokens and 0"),
    ],
)
def test_rows_that_make_no_sense_are_refused(rows: list[dict[str, list[int]]], message: str) -> None:
    """No row, an empty row, and labels that do not fit are errors that say so."""
    with pytest.raises(ValueError, match=message):
        FlatCollator()(rows)


def test_packing_keeps_every_row_once_and_within_capacity() -> None:
    """Each row appears in exactly one bin, and only a row that is too long alone goes over."""
    chance = random.Random(0)
    lengths = [chance.randint(1, 120) for _ in range(500)] + [900]
    order = chance.sample(range(len(lengths)), len(lengths))
    bins = pack_rows(lengths, 256, order, window_rows=100)
    assert sorted(row for group in bins for row in group) == sorted(order)
    assert all(sum(lengths[row] for row in group) <= 256 or len(group) == 1 for group in bins)
    filled = sum(lengths[:500]) / (256 * (len(bins) - 1))
    assert filled > 0.9


def test_packing_is_a_pure_function_of_the_order() -> None:
    """The same order gives the same bins, another order others, and no row leaves its window."""
    lengths = [(7 * row) % 50 + 1 for row in range(64)]
    order = random.Random(1).sample(range(64), 64)
    assert pack_rows(lengths, 128, order) == pack_rows(lengths, 128, order)
    assert pack_rows(lengths, 128, order) != pack_rows(lengths, 128, sorted(order))
    place = {row: at for at, row in enumerate(order)}
    assert all(
        len({place[row] // 16 for row in group}) == 1 for group in pack_rows(lengths, 128, order, window_rows=16)
    )


def test_packed_bins_come_in_the_order_of_their_first_rows() -> None:
    """Packing does not move the long rows to the front of the epoch."""
    order = random.Random(2).sample(range(200), 200)
    place = {row: at for at, row in enumerate(order)}
    firsts = [place[group[0]] for group in pack_rows([row % 40 + 1 for row in range(200)], 100, order)]
    assert firsts == sorted(firsts)
