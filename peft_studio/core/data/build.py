"""One raw row of a recognised format → an example. Pure; the one place that says what each format means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peft_studio.core.data.example import ASSISTANT, Example, Kind, Message, RowMisfit
from peft_studio.core.data.raw_row import RawRow
from peft_studio.core.data.turns import Unreadable, read_text, read_tools, read_turns


def build_example(row: RawRow, *, format_name: str, columns: Mapping[str, str]) -> Example:
    """Read ``row`` as ``format_name``; ``columns`` maps our column names to the row's.

    Raises:
        RowMisfit: The row is broken or does not fit the format; names the row and the reason.
    """
    if row.value is None:
        raise RowMisfit(row.number, f"{row.place}: {row.broken}")
    reader = _Reader(row.value, columns)
    try:
        return _BUILDERS[format_name](reader, row.number)
    except Unreadable as exc:
        raise RowMisfit(row.number, f"{row.place}: {exc}") from exc


class _Reader:
    """The fields of one row under our names; collects notes on what had to be changed."""

    def __init__(self, value: dict[str, Any], columns: Mapping[str, str]) -> None:
        self.row_value = value
        self.columns = columns
        self.notes: set[str] = set()

    def value(self, ours: str) -> Any:
        theirs = self.columns.get(ours)
        return self.row_value.get(theirs) if theirs is not None else None

    def name(self, ours: str) -> str:
        return repr(self.columns.get(ours, ours))

    def text(self, ours: str) -> str:
        return read_text(self.value(ours), what=self.name(ours), notes=self.notes)

    def turns(self, ours: str) -> tuple[Message, ...]:
        return read_turns(self.value(ours), what=self.name(ours), notes=self.notes)

    def system(self) -> tuple[Message, ...]:
        text = self.value("system")
        return (Message("system", self.text("system")),) if text not in (None, "") else ()

    def example(self, number: int, kind: Kind, messages: tuple[Message, ...]) -> Example:
        tools = read_tools(self.value("tools"), what=self.name("tools"))
        return Example(number, kind, messages=messages, tools=tools, notes=tuple(sorted(self.notes)))


def _conversation(reader: _Reader, number: int) -> Example:
    return reader.example(number, "chat", reader.turns("messages"))


def _sharegpt(reader: _Reader, number: int) -> Example:
    turns = reader.turns("conversations")
    system = () if turns[0].role == "system" else reader.system()
    return reader.example(number, "chat", system + turns)


def _alpaca(reader: _Reader, number: int) -> Example:
    prompt = reader.text("instruction")
    if reader.value("input") not in (None, ""):
        prompt = f"{prompt}\n\n{reader.text('input')}"
    answer = Message(ASSISTANT, reader.text("output"))
    return reader.example(number, "pair", (*reader.system(), Message("user", prompt), answer))


def _pair(reader: _Reader, number: int) -> Example:
    # Both halves may be turns, as trl writes conversational prompts.
    if isinstance(reader.value("prompt"), list):
        answer = reader.value("completion")
        turns = (
            reader.turns("completion") if isinstance(answer, list) else (Message(ASSISTANT, reader.text("completion")),)
        )
        return reader.example(number, "chat", reader.turns("prompt") + turns)
    turns = (Message("user", reader.text("prompt")), Message(ASSISTANT, reader.text("completion")))
    return reader.example(number, "pair", reader.system() + turns)


def _text(reader: _Reader, number: int) -> Example:
    text = reader.text("text")
    return Example(number, "text", text=text, notes=tuple(sorted(reader.notes)))


def _preference(reader: _Reader, number: int) -> Example:
    """The chosen side as an example, so that lengths can be counted; the rejected side must be readable too."""
    if isinstance(reader.value("chosen"), list):
        reader.turns("rejected")
        prompt = reader.turns("prompt") if isinstance(reader.value("prompt"), list) else ()
        return reader.example(number, "chat", prompt + reader.turns("chosen"))
    reader.text("rejected")
    prompt_text = reader.text("prompt") if reader.value("prompt") is not None else ""
    turns = (Message("user", prompt_text), Message(ASSISTANT, reader.text("chosen")))
    return reader.example(number, "pair", reader.system() + turns)


_BUILDERS = {
    "messages": _conversation,
    "tools": _conversation,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt-completion": _pair,
    "text": _text,
    "preference": _preference,
}
