"""The Python that makes a draft again in a fresh kernel, and launches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft_studio.core.data import Dataset
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.spec import RunSpec
from peft_studio.widgets._text import plain

_LIMIT = 100_000  # characters; rows left out are listed one by one
_HUB = "hub:"


def train_code(draft: ExplainedSpec | None, model: str | None, data: Dataset | None) -> str:
    """What the Train panel stands for. Names only the fields that a person has set."""
    start = "from peft_studio import studio\n\n"
    if draft is None or data is None:
        lines = [f"studio.session.choose(model={model!r})"] if model else []
        lines += [data_code(data)] if data else []
        return plain(start + "\n".join([*lines, 'studio.show("train")']), limit=_LIMIT)
    chosen = [name for name in RunSpec.model_fields if name in draft.chosen]
    fields = "".join(f"    {name}={_literal(getattr(draft, name))},\n" for name in chosen)
    spec = f"spec = studio.spec(\n    model={draft.model!r},\n    data={data_code(data)},\n{fields})\n"
    return plain(f"{start}{spec}studio.launch(spec)", limit=_LIMIT)


def data_code(data: Dataset) -> str:
    """The expression that opens the same rows with the same columns, split and rows left out."""
    ref = data.ref
    given = [repr(_source(data))]
    if data.format.why.startswith(("as you said", "as recorded")):  # else recognition finds the same again
        given += [f"columns={dict(ref.columns)!r}", f"format={ref.format!r}"]
    given += [f"{name}={value!r}" for name, value in (("split", ref.split), ("seed", ref.seed)) if value]
    left_out = f".leave_out({list(ref.left_out)!r})" if ref.left_out else ""
    return f"studio.data({', '.join(given)}){left_out}"


def _source(data: Dataset) -> str:
    """What the user named, where it still leads to the rows; else where they are."""
    origin, path = data.ref.origin, data.ref.path
    if origin.startswith(_HUB):
        return origin.removeprefix(_HUB)
    return origin if str(Path(origin).expanduser().resolve()) == path else path


def _literal(value: Any) -> str:
    if hasattr(value, "model_dump"):
        return repr(value.model_dump())
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else repr(value)
