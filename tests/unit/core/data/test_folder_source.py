from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.data import open_ref
from peft_studio.core.data.dataset import Dataset
from peft_studio.core.errors import DataError

Write = Callable[[str, str | bytes], Path]
Open = Callable[..., Dataset]


def line(text: str) -> str:
    return json.dumps({"text": text}) + "\n"


def test_files_named_for_validation_are_held_out(write: Write, opened: Open, tmp_path: Path) -> None:
    """Training files come first in the order of their names; the test split is left unread and said to be."""
    for name in ("train-00001-of-00002", "train-00000-of-00002", "validation-00000-of-00001", "test-00000-of-00001"):
        write(f"set/data/{name}.jsonl", line(name[:11]))
    write("set/README.md", "# about\n")
    data = opened(tmp_path / "set")
    assert [row["text"] for row in data.train_rows()] == ["train-00000", "train-00001"]
    assert [row["text"] for row in data.eval_rows()] == ["validation-"]
    assert data.sizes == (2, 1)
    assert any("test split" in problem.message for problem in data.problems)
    again = open_ref(data.ref)
    assert (list(again.train_rows()), list(again.eval_rows())) == (list(data.train_rows()), list(data.eval_rows()))
    assert again.sizes == data.sizes


def test_a_test_split_serves_where_there_is_no_validation(write: Write, opened: Open, tmp_path: Path) -> None:
    """train and test alone: evaluation is on test."""
    write("set/train.jsonl", line("a"))
    write("set/test.jsonl", line("b"))
    assert [row["text"] for row in opened(tmp_path / "set").eval_rows()] == ["b"]


def test_a_split_asked_for_besides_is_refused_aloud(write: Write, opened: Open, tmp_path: Path) -> None:
    """split= on a folder with its own validation split changes nothing, and a warning says so."""
    write("set/train.jsonl", line("a") * 10)
    write("set/dev.jsonl", line("b"))
    data = opened(tmp_path / "set", split=0.5)
    assert data.sizes == (10, 1)
    assert [problem.code for problem in data.problems if problem.severity == "warning"] == ["split-not-applied"]


def test_files_of_several_kinds_are_one_source(write: Write, opened: Open, tmp_path: Path) -> None:
    """Rows are numbered through, and each knows its own file; notes and licences beside the data are not rows."""
    write("set/a.jsonl", line("1"))
    write("set/b.csv", "text\n2\n")
    write("set/notes.txt", "not data\n")
    write("set/.hidden/c.jsonl", line("no"))
    rows = list(opened(tmp_path / "set").raw_rows())
    assert [(row.number, row.place, row.value) for row in rows] == [
        (0, "a.jsonl:1", {"text": "1"}),
        (1, "b.csv:2", {"text": "2"}),
    ]


def test_an_empty_folder_says_what_it_should_hold(opened: Open, tmp_path: Path) -> None:
    """The error lists the endings that are read."""
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match="no data files") as caught:
        opened(tmp_path / "set")
    assert ".jsonl" in caught.value.hint


def test_a_broken_file_in_a_folder_is_named(write: Write, opened: Open, tmp_path: Path) -> None:
    """An empty file among good ones is an error with its name, not a silent gap."""
    write("set/a.jsonl", line("1"))
    write("set/b.jsonl", "")
    with pytest.raises(DataError, match=r"b\.jsonl is empty"):
        opened(tmp_path / "set")


@pytest.mark.slow
def test_folders_written_by_datasets(opened: Open, tmp_path: Path) -> None:
    """What datasets.save_to_disk and to_parquet write is read, one set or a dict of splits, in order."""
    datasets = pytest.importorskip("datasets")
    rows = [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}]}
        for n in range(2500)
    ]
    one = datasets.Dataset.from_list(rows)
    one.save_to_disk(str(tmp_path / "one"), num_shards=3)
    assert list(opened(tmp_path / "one")) == rows
    both = datasets.DatasetDict({"train": one.select(range(2000)), "validation": one.select(range(2000, 2500))})
    both.save_to_disk(str(tmp_path / "both"))
    data = opened(tmp_path / "both")
    assert (list(data.train_rows()), list(data.eval_rows())) == (rows[:2000], rows[2000:])
    one.to_parquet(str(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet"))
    assert list(opened(tmp_path / "hub")) == rows
    (tmp_path / "one" / "data-00001-of-00003.arrow").unlink()
    with pytest.raises(DataError, match=r"data-00001-of-00003\.arrow is missing"):
        opened(tmp_path / "one")
