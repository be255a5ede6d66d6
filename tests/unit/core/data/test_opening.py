from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from peft_studio.core.data import Dataset, open_data, open_ref
from peft_studio.core.errors import DataError
from peft_studio.core.spec.data_ref import DataRef

Open = Callable[..., Dataset]
Write = Callable[[str, str | bytes], Path]
PAIRS = [{"question": f"q{n}", "answer": f"a{n}"} for n in range(20)]


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("kind", ["list", "generator", "frame", "jsonl", "json", "csv", "tsv", "parquet", "folder"])
def test_every_source_gives_the_same_rows(opened: Open, write: Write, tmp_path: Path, kind: str) -> None:
    """Whatever the rows come in, they are the same rows, examples and format."""
    frame = pd.DataFrame(PAIRS)
    sources: dict[str, Callable[[], Any]] = {
        "list": lambda: PAIRS,
        "generator": lambda: (row for row in PAIRS),
        "frame": lambda: frame,
        "jsonl": lambda: str(write("a.jsonl", lines(*PAIRS))),
        "json": lambda: write("a.json", json.dumps({"data": PAIRS}, indent=1)),
        "csv": lambda: write("a.csv", frame.to_csv(index=False)),
        "tsv": lambda: write("a.tsv", frame.to_csv(index=False, sep="\t")),
        "parquet": lambda: frame.to_parquet(tmp_path / "a.parquet") or tmp_path / "a.parquet",
        "folder": lambda: write("set/a.jsonl", lines(*PAIRS)).parent,
    }
    data = opened(sources[kind]())
    assert list(data) == PAIRS
    assert (data.format.name, data.rows, data.columns) == ("prompt-completion", 20, ("question", "answer"))
    assert [problem for problem in data.problems if problem.severity != "info"] == []
    again = open_ref(DataRef.model_validate_json(data.ref.model_dump_json()))
    assert list(again.train_examples()) == list(data.train_examples())


def test_the_ref_says_what_the_user_named(opened: Open, write: Write) -> None:
    """Absolute path, origin, format, mapping, rows and digest: enough to find the rows again."""
    path = write("a.jsonl", lines(*PAIRS))
    ref = opened(path, split=0.25, seed=3).ref
    assert (ref.path, ref.origin, ref.rows, ref.split, ref.seed) == (str(path.resolve()), str(path), 20, 0.25, 3)
    assert ref.columns == {"prompt": "question", "completion": "answer"}
    assert opened(PAIRS).ref.origin == "rows given in Python"
    assert opened(path, origin="hub:me/set").ref.origin == "hub:me/set"


def test_a_file_changed_since_launch_is_noticed(opened: Open, write: Write) -> None:
    """The digest is compared before any row is read; a missing file is an error too."""
    path = write("a.jsonl", lines(*PAIRS))
    ref = opened(path).ref
    assert open_ref(ref).rows == 20
    path.write_text(lines(*PAIRS[:-1], {"question": "q19", "answer": "a18"}))
    with pytest.raises(DataError, match="has changed since the run was launched"):
        open_ref(ref)
    assert open_ref(ref, verify=False).rows == 20
    path.unlink()
    with pytest.raises(DataError, match="There is no file or folder"):
        open_ref(ref)


def test_broken_rows_block_and_can_be_left_out(opened: Open, write: Write) -> None:
    """A file with bad rows opens; they are one blocking problem with places and a fix that, applied, settles it."""
    path = write("a.jsonl", lines(PAIRS[0]) + '{"question": "half\n' + lines(PAIRS[2]) + "[1]\n" + lines(PAIRS[4]))
    data = opened(path)
    (problem,) = data.problems
    assert (problem.code, problem.severity, problem.rows, problem.count) == ("broken-rows", "blocking", (1, 3), 2)
    assert "a.jsonl:2: the JSON ends in the middle of a row" in problem.message
    assert "a.jsonl:4: a row must be an object" in problem.message
    assert data.report().blocking == (problem,)
    with pytest.raises(DataError, match=r"a.jsonl:2"):
        list(data)
    with pytest.raises(DataError, match=r"a.jsonl:2"):
        list(data.train_examples())
    assert problem.fix_action is not None
    mended = data.leave_out(problem.fix_action["leave_out"])
    assert list(mended) == [PAIRS[0], PAIRS[2], PAIRS[4]]
    assert (mended.problems, mended.report().blocking, mended.ref.left_out) == ((), (), (1, 3))
    assert [example.row for example in open_ref(mended.ref).train_examples()] == [0, 2, 4]


def test_rows_with_other_columns_are_named(opened: Open, write: Write) -> None:
    """Other columns that are not needed are worth a remark; needed ones that are missing, a warning and a blocking report."""
    more = opened([*PAIRS, {**PAIRS[0], "id": 1}])
    (problem,) = more.problems
    assert (problem.code, problem.severity, problem.rows) == ("mixed-columns", "info", (20,))
    assert "with id besides" in problem.message
    mixed = opened([*PAIRS, {"text": "other"}, {"text": "kind"}])
    assert [(p.code, p.severity, p.rows) for p in mixed.problems] == [("mixed-columns", "warning", (20, 21))]
    (blocking,) = mixed.report().blocking
    assert (blocking.code, blocking.rows) == ("row-misfit", (20, 21))
    assert "'answer' is missing" in blocking.message or "'question' is missing" in blocking.message
    assert mixed.leave_out((20, 21)).report().blocking == ()
    reordered = opened([{"question": "q", "answer": "a"}, {"answer": "b", "question": "r"}])
    assert reordered.problems == ()


@pytest.mark.parametrize(
    ("name", "content", "why", "hint"),
    [
        ("a.jsonl", "", "a.jsonl is empty", "written to its end"),
        ("a.json", "[]", "a.json has no rows", "right file"),
        ("a.csv", "q,a\n", "a.csv has no rows", "right file"),
        ("a.jsonl", '{"a": \n{"a": \n', r"No row can be read. a.jsonl:1: the JSON ends", "every one of its rows"),
        ("a.csv", b"q,a\n\xe9,1\n", r"No row can be read. a.csv:2: .* byte 0xe9 at byte offset 4", "encoding='cp1252'"),
        ("a.jsonl", '{"a": 1}'.encode("utf-16"), "UTF-16", "encoding='utf-16'"),
        ("a.xlsx", "x", r"ends in '.xlsx', which is no data file", ".csv"),
        ("a.parquet", "", "a.parquet is empty", "again"),
        ("a.parquet", "not parquet", "cannot be read", "again"),
    ],
)
def test_what_cannot_be_read_at_all(
    opened: Open, write: Write, name: str, content: str | bytes, why: str, hint: str
) -> None:
    """An error that names the file, the place and what to do."""
    with pytest.raises(DataError, match=why) as caught:
        opened(write(name, content))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("source", "options", "why", "hint"),
    [
        ("org/name", {}, "'org/name' is no file or folder here", "studio.data('org/name')"),
        ("nowhere/file.jsonl", {}, "There is no file or folder", "Check the path"),
        (42, {}, "A data set cannot be made of int", "a path, a list of dicts"),
        ({"text": "a"}, {}, "A data set cannot be made of dict", "a list of dicts"),
        ([{"text": "a"}], {"split": 1.0}, r"split is 1.0", "up to, not including, 1"),
        ([{"text": "a"}], {"columns": {"txt": "text"}}, "no column 'txt'", "Did you mean 'text'?"),
        ([{"text": "a"}], {"format": "txt"}, "no format 'txt'", "Did you mean 'text'?"),
    ],
)
def test_what_is_asked_wrongly(opened: Open, source: Any, options: dict[str, Any], why: str, hint: str) -> None:
    """Each wrong argument is named, with the nearest right one."""
    with pytest.raises(DataError, match=why) as caught:
        opened(source, **options)
    assert hint in caught.value.hint


def test_what_is_no_file_is_refused_and_not_waited_for(opened: Open, tmp_path: Path) -> None:
    """A pipe, which may never end, and a link to itself."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        opened(tmp_path / "pipe.jsonl")
    with pytest.raises(DataError, match="There is no file or folder"):
        opened(tmp_path / "loop.jsonl")


def test_a_file_misspelled_brings_the_nearest(opened: Open, write: Write) -> None:
    """The hint is the file that is there."""
    path = write("train.jsonl", lines(*PAIRS))
    with pytest.raises(DataError) as caught:
        opened(path.with_name("trian.jsonl"))
    assert "train.jsonl" in caught.value.hint


def test_opening_holds_no_rows_in_memory(tmp_path: Path) -> None:
    """Forty megabytes of rows open in a few: what is kept is a sample, and the numbers of broken rows."""
    import tracemalloc

    path = tmp_path / "big.jsonl"
    row = lines({"text": "x" * 2000})
    path.write_text(row * 20_000)
    tracemalloc.start()
    try:
        data = open_data(path, folder_for_rows=tmp_path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert data.rows == 20_000
    assert peak_bytes < 8_000_000
