from __future__ import annotations

import sys
from pathlib import Path

import pytest

from peft_studio.core.data.arrow_source import ArrowFile
from peft_studio.core.errors import DataError, MissingExtra

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROWS = [{"messages": [{"role": "user", "content": f"é{n}"}], "n": n} for n in range(3000)]


def test_parquet_comes_in_batches_with_nested_values(tmp_path: Path) -> None:
    """Every row of every batch comes back, nested lists and dicts as such."""
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=700)
    rows = list(ArrowFile(tmp_path / "a.parquet", "a.parquet").rows())
    assert [row.value for row in rows] == ROWS
    assert rows[2999].place == "a.parquet, row 2999"


def test_a_parquet_file_cut_short_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """Half a file has no footer; the error names the file."""
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"half.parquet cannot be read") as caught:
        list(ArrowFile(tmp_path / "half.parquet", "half.parquet").rows())
    assert "again" in caught.value.hint


def test_without_pyarrow_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow is an extra; its absence is told with the command that mends it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra) as caught:
        list(ArrowFile(tmp_path / "a.parquet", "a.parquet").rows())
    assert caught.value.hint == "pip install pyarrow"
