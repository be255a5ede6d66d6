"""Recognises a data set's format from its column names and a sample of its rows, and says how sure it is and why.

A candidate is proposed by column names and judged by how many sampled rows can be read as it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from peft_studio.core.data.build import build_example
from peft_studio.core.data.example import RowMisfit
from peft_studio.core.data.formats import (
    FORMATS,
    MAY_HAVE,
    NEEDS,
    OUR_COLUMNS,
    PAIRS,
    TEXT_COLUMNS,
    TURN_COLUMNS,
    Recognised,
)
from peft_studio.core.data.raw_row import RawRow
from peft_studio.core.errors import DataError, nearest

# How sure the column names alone make us. A tool or preference file is named by columns that mean nothing else; a
# lone text column could be anything.
_SURE = {
    "preference": 0.99,
    "tools": 0.99,
    "messages": 0.99,
    "sharegpt": 0.99,
    "alpaca": 0.98,
    "prompt-completion": 0.95,
    "text": 0.8,
}
_LEAST_CONFIDENCE = 0.3
_TRACE = 1e-9  # any row at all
_MAP_BY_HAND = 'Say which columns they are, for example columns={"prompt": "question", "completion": "answer"}.'


def recognise(rows: Sequence[RawRow], *, columns: Mapping[str, str] | None, format_name: str | None) -> Recognised:
    """The best format for these sampled rows, which must hold at least one good row.

    Args:
        columns: Our column name → theirs, where the user maps by hand.
        format_name: The format, where the user says it.

    Raises:
        DataError: Nothing fits, or what the user named does not exist; the hint names the nearest or the columns found.
    """
    good = [row for row in rows if row.value is not None]
    names = tuple(dict.fromkeys(name for row in good for name in row.value or ()))
    by_hand = dict(columns or {})
    _check_names(by_hand, names, format_name)
    best: Recognised | None = None
    for name, mapping in _candidates(names, by_hand, good):
        if (format_name is not None and name != format_name) or not _uses(name, by_hand):
            continue
        judged = _judge(name, mapping, good, given=format_name is not None or bool(by_hand))
        if best is None or judged.confidence > best.confidence:
            best = judged
    told = format_name is not None or bool(by_hand)
    if best is None or best.confidence < (_TRACE if told else _LEAST_CONFIDENCE):
        raise _no_format(names, best, format_name)
    return best


def _check_names(by_hand: Mapping[str, str], names: Sequence[str], format_name: str | None) -> None:
    if format_name is not None and format_name not in FORMATS:
        raise DataError(f"There is no format {format_name!r}.", hint=nearest(format_name, FORMATS), fields=("format",))
    for ours, theirs in by_hand.items():
        if ours not in OUR_COLUMNS:
            raise DataError(
                f"There is no column {ours!r} to map to.", hint=nearest(ours, OUR_COLUMNS), fields=("columns",)
            )
        if theirs not in names:
            raise DataError(f"The data has no column {theirs!r}.", hint=nearest(theirs, names), fields=("columns",))


def _candidates(
    names: Sequence[str], by_hand: Mapping[str, str], good: Sequence[RawRow]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Formats that the column names allow, the most telling first, each with its columns."""
    spelled = {name.strip().lower(): name for name in reversed(names)}
    found = {ours: spelled[ours] for ours in OUR_COLUMNS if ours in spelled} | dict(by_hand)
    turns = next((spelled[name] for name in TURN_COLUMNS if name in spelled), None)
    if turns is not None:
        found.setdefault("messages", turns)
        found.setdefault("conversations", turns)
    for ours in ("messages", "conversations"):
        if ours in by_hand:
            found = found | {"messages": by_hand[ours], "conversations": by_hand[ours]}
    for name in ("preference", "tools", "messages", "sharegpt", "alpaca"):
        if all(column in found for column in NEEDS[name]) and _tells(name, found, good):
            yield name, _pick(name, found)
    if not {"prompt", "completion"} & set(by_hand):
        pairs = [(spelled[a], spelled[b]) for a, b in PAIRS if a in spelled and b in spelled]
        found |= {"prompt": pairs[0][0], "completion": pairs[0][1]} if pairs else {}
    if "prompt" in found and "completion" in found:
        yield "prompt-completion", _pick("prompt-completion", found)
    text = by_hand.get("text") or next((spelled[name] for name in TEXT_COLUMNS if name in spelled), None)
    if text is None and len(names) == 1:
        text = names[0]
    if text is not None:
        yield "text", {"text": text}


def _uses(name: str, by_hand: Mapping[str, str]) -> bool:
    turns = {"messages", "conversations"} if name in ("messages", "tools", "sharegpt") else set()
    return set(by_hand) <= {*NEEDS[name], *MAY_HAVE[name], *turns}


def _pick(name: str, found: Mapping[str, str]) -> dict[str, str]:
    return {ours: found[ours] for ours in (*NEEDS[name], *MAY_HAVE[name]) if ours in found}


def _tells(name: str, found: Mapping[str, str], good: Sequence[RawRow]) -> bool:
    """Whether the rows show what sets this format apart from its neighbours."""
    if name in ("preference", "alpaca"):
        return True
    if name == "sharegpt":
        return any("from" in turn for turn in _turns(good, found["conversations"]))
    if name == "messages" and _tells("sharegpt", {"conversations": found["messages"]}, good):
        return False
    calls = any(turn.get("tool_calls") or turn.get("role") == "tool" for turn in _turns(good, found["messages"]))
    offers = "tools" in found and any(row.value.get(found["tools"]) for row in good if row.value)
    return (name == "tools") == (calls or offers)


def _turns(good: Sequence[RawRow], column: str) -> Iterator[Mapping[str, Any]]:
    for row in good:
        turns = (row.value or {}).get(column)
        if isinstance(turns, list | tuple):
            yield from (turn for turn in turns if isinstance(turn, Mapping))


def _judge(name: str, mapping: dict[str, str], good: Sequence[RawRow], *, given: bool) -> Recognised:
    fits = sum(_fits(row, name, mapping) for row in good)
    sure = 1.0 if given else _SURE[name]
    needed = " and ".join(repr(mapping[column]) for column in NEEDS[name])
    rows = f"all of the first {len(good)}" if fits == len(good) else f"{fits} of the first {len(good)}"
    how = "as you said, " if given else ""
    return Recognised(name, sure * fits / len(good), f"{how}{needed} can be read so in {rows} rows", mapping, given)


def _fits(row: RawRow, name: str, mapping: Mapping[str, str]) -> bool:
    try:
        build_example(row, format_name=name, columns=mapping)
    except RowMisfit:
        return False
    return True


def _no_format(names: Sequence[str], best: Recognised | None, format_name: str | None) -> DataError:
    listed = ", ".join(map(repr, names[:20])) or "none"
    if format_name is not None:
        needs = " and ".join(map(repr, NEEDS[format_name]))
        return DataError(
            f"Format {format_name!r} needs {needs}; the columns are: {listed}.", hint=_MAP_BY_HAND, fields=("columns",)
        )
    near = f" Nearest: {best}." if best else ""
    return DataError(f"No known format fits; the columns are: {listed}.{near}", hint=_MAP_BY_HAND, fields=("columns",))
