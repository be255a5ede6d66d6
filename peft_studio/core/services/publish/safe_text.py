"""Text of strangers inside YAML and Markdown, where it stays text: names of runs, models and files are not trusted. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peft_studio.core.markup import visible

_MARKS = re.compile(
    r"[!#$&()*+.:<=>@\[\\\]^_`{|}~]"
)  # what CommonMark and GitHub's dialect may take for markup or an address


def yaml(value: Any) -> str:
    """A scalar or a list of scalars as YAML on one line: text is always quoted, so that none becomes a key, a date or ``no``."""
    if isinstance(value, str):
        return json.dumps(visible(value), ensure_ascii=False)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(yaml, value))}]"
    return json.dumps(value)


def front_matter(fields: Mapping[str, Any]) -> str:
    """The block that a model card begins with. Fields without a value are left out: nothing is guessed."""
    lines = [f"{name}: {yaml(value)}" for name, value in fields.items() if value not in (None, "", (), [])]
    return "\n".join(["---", *lines, "---"])


def prose(text: str) -> str:
    """Text in a sentence or heading: one line, and no sign of it is markup."""
    return _MARKS.sub(r"\\\g<0>", _one_line(text))


def code(text: str) -> str:
    """Text as a code span, whatever backticks it has; safe in a table, too."""
    line = _one_line(text).replace("|", "\\|") or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))
