from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.data.columns import look_at_columns
from peft_studio.core.errors import DataError


def test_columns_with_an_example_each(write: Callable[..., Path]) -> None:
    """In the order of meeting, with how often each is filled; broken rows and empty values do not count."""
    path = write("rows.jsonl", '{"a": "x", "b": ""}\nbroken\n{"a": "y", "b": "z", "c": [1]}\n')
    a, b, c = look_at_columns(path)

    assert (a.name, a.example, a.filled, a.seen) == ("a", "x", 1.0, 2)
    assert (b.name, b.example, b.filled) == ("b", "z", 0.5)
    assert (c.name, c.example, c.filled) == ("c", [1], 0.5)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It says so."""
    with pytest.raises(DataError, match="There is no file"):
        look_at_columns(tmp_path / "none.csv")
