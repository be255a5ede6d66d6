"""The Python that opens the data that is shown, with what was chosen and left out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from peft_studio.core.data import Dataset
from peft_studio.core.spec import DataRef
from peft_studio.quickstart import data_path
from peft_studio.widgets._code import opening


def source_of(ref: DataRef) -> str:
    """What ``studio.data`` takes to open the same source again in this working folder."""
    if ref.origin.startswith("hub:"):
        return ref.origin.removeprefix("hub:")
    same = Path(ref.origin).expanduser().resolve() == Path(ref.path)
    return ref.origin if same else ref.path


def data_opening(home: Path, data: Dataset | None) -> str:
    """The lines that bring what ``open_call`` names."""
    return opening(home, *(["quickstart"] if data is not None and _is_example(data.ref) else []))


def open_call(data: Dataset) -> str:
    """The expression that opens the same rows with the same columns and split; what was left out is in again."""
    ref, options = data.ref, []
    if data.format.given:  # else recognition finds the same again
        options += [f"columns={dict(ref.columns)!r}", f"format={ref.format!r}"]
    if ref.split:
        options += [f"split={ref.split!r}", f"seed={ref.seed!r}"]
    source = "quickstart.data_path()" if _is_example(ref) else repr(source_of(ref))
    return f"studio.data({', '.join([source, *options])})"


def leave_out_call(ref: DataRef) -> str:
    """``.leave_out([…])``; nothing where all rows are in."""
    return f".leave_out({_numbers(ref.left_out)})" if ref.left_out else ""


def data_code(home: Path, data: Dataset, *, model: str, max_length: int | None) -> str:
    """Python that does in a fresh kernel what the panel shows."""
    lines = [f"{data_opening(home, data)}data = {open_call(data)}"]
    if left_out := leave_out_call(data.ref):
        lines += [f"data = data{left_out}", "studio.session.choose(data=data)"]
    length = f", max_length={max_length}" if max_length is not None else ""
    return "\n".join([*lines, f"data.report({model!r}{length})"])


def _is_example(ref: DataRef) -> bool:
    return Path(ref.path) == data_path().resolve()


def _numbers(numbers: Iterable[int]) -> str:
    """Row numbers as a list, three or more in a row as a range."""
    parts: list[str] = []
    for _, group in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts += [f"*range({run[0]}, {run[-1] + 1})"] if len(run) > 2 else [str(number) for number in run]
    return f"[{', '.join(parts)}]"
