"""The Python that opens the data that the Data panel shows, with what was chosen and left out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from peft_studio.core.data import Dataset
from peft_studio.core.spec import DataRef
from peft_studio.quickstart import data_path


def source_of(ref: DataRef) -> str:
    """What ``studio.data`` takes to open the same source again in this working folder."""
    if ref.origin.startswith("hub:"):
        return ref.origin.removeprefix("hub:")
    same = Path(ref.origin).expanduser().resolve() == Path(ref.path)
    return ref.origin if same else ref.path


def data_code(data: Dataset, *, model: str, max_length: int | None) -> str:
    """Python that does in a fresh kernel what the panel shows."""
    ref, options = data.ref, []
    if data.format.given:
        options += [f"columns={dict(ref.columns)!r}", f"format={ref.format!r}"]
    if ref.split:
        options += [f"split={ref.split!r}", f"seed={ref.seed!r}"]
    is_example = Path(ref.path) == data_path().resolve()
    source = "quickstart.data_path()" if is_example else repr(source_of(ref))
    lines = ["from peft_studio import quickstart, studio" if is_example else "from peft_studio import studio", ""]
    lines.append(f"data = studio.data({', '.join([source, *options])})")
    if ref.left_out:
        lines += [f"data = data.leave_out({_numbers(ref.left_out)})", "studio.session.choose(data=data)"]
    length = f", max_length={max_length}" if max_length is not None else ""
    return "\n".join([*lines, f"data.report({model!r}{length})"])


def _numbers(numbers: Iterable[int]) -> str:
    """Row numbers as a list, three or more in a row as a range."""
    parts: list[str] = []
    for _, group in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts += [f"*range({run[0]}, {run[-1] + 1})"] if len(run) > 2 else [str(number) for number in run]
    return f"[{', '.join(parts)}]"
