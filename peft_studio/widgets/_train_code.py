"""The Python that makes a draft again in a fresh kernel, and launches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft_studio.core.data import Dataset
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.spec import RunSpec
from peft_studio.widgets._data_code import data_opening, leave_out_call, open_call
from peft_studio.widgets._text import plain

_LIMIT = 100_000  # characters; rows left out are listed one by one


def train_code(
    home: Path, draft: ExplainedSpec | None, model: str | None, data: Dataset | None, *, then: str = "studio.launch(spec)"
) -> str:  # fmt: skip
    """What the Train panel stands for, or another that goes on with its spec. Names only the fields that a person has set."""
    start = data_opening(home, data)
    rows = open_call(data) + leave_out_call(data.ref) if data else ""
    if draft is None or data is None:
        chosen = [f"model={model!r}"] if model else []
        chosen += [f"data={rows}"] if data else []
        choice = f"studio.session.choose({', '.join(chosen)})\n" if chosen else ""
        return plain(f'{start}{choice}studio.show("train")', limit=_LIMIT)
    given = [name for name in RunSpec.model_fields if name in draft.chosen]
    fields = "".join(f"    {name}={_literal(getattr(draft, name))},\n" for name in given)
    spec = f"spec = studio.spec(\n    model={draft.model!r},\n    data={rows},\n{fields})\n"
    return plain(f"{start}{spec}{then}", limit=_LIMIT)


def _literal(value: Any) -> str:
    if hasattr(value, "model_dump"):
        return repr(value.model_dump())
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else repr(value)
