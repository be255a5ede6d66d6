from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from peft_studio.core.data.given_rows import frame_rows, save_rows
from peft_studio.core.errors import DataError


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_written_once_under_their_digest(tmp_path: Path) -> None:
    """The same rows give the same file, other rows another; nothing else is left in the folder."""
    first = save_rows([{"text": "é"}, {"text": "b"}], tmp_path)
    assert save_rows(iter([{"text": "é"}, {"text": "b"}]), tmp_path) == first
    other = save_rows([{"text": "b"}], tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([first, other])
    assert read(first) == [{"text": "é"}, {"text": "b"}]
    assert len(first.stem) == 16


def test_strings_are_rows_of_text(tmp_path: Path) -> None:
    """A list of texts needs no dicts around them."""
    assert read(save_rows(["a", "b"], tmp_path)) == [{"text": "a"}, {"text": "b"}]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "There are no rows"),
        ([{"text": "a"}, 3], "Row 1 is int, not a dict"),
        ([{"text": object()}], "Row 0 cannot be written as JSON"),
        ([{("a", "b"): 1}], "Row 0 cannot be written as JSON"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_row(tmp_path: Path, rows: list[object], why: str) -> None:
    """The error names the row, and no half-written file stays behind."""
    with pytest.raises(DataError, match=why):
        save_rows(rows, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_frames_give_plain_values(tmp_path: Path) -> None:
    """Missing values of every kind are null; numbers, dates and arrays become JSON."""
    frame = pd.DataFrame(
        {
            "q": ["a", None],
            "n": np.array([1, 2], dtype="int8"),
            "x": [0.5, math.nan],
            "day": [pd.Timestamp(date(2026, 1, 2)), pd.NaT],
            "maybe": pd.array([1, None], dtype="Int64"),
            "list": [np.array([1, 2]), [{"a": np.float32(0.5)}]],
        }
    )
    assert read(save_rows(frame_rows(frame), tmp_path)) == [
        {"q": "a", "n": 1, "x": 0.5, "day": "2026-01-02T00:00:00", "maybe": 1, "list": [1, 2]},
        {"q": None, "n": 2, "x": None, "day": None, "maybe": None, "list": [{"a": 0.5}]},
    ]
