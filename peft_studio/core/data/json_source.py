"""Rows of JSON Lines and of JSON files, read as a stream.

A JSON file may be an array of objects, or an object with such an array in it (``{"data": […]}``). Neither is loaded
whole. Knows nothing of what a row's fields mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from peft_studio.core.data.raw_row import MOST_ROW_BYTES, RawRow
from peft_studio.core.data.text_bytes import check_is_utf8_text, find_bad_bytes, read_lines
from peft_studio.core.errors import DataError

_CHUNK = 1024 * 1024
_SNIFF = 64 * 1024
_DECODER = json.JSONDecoder()


def open_json(path: Path, name: str) -> JsonLines | JsonArray:
    """The reader that fits what is in the file, whatever its ending says.

    Raises:
        DataError: The file is empty, or no UTF-8 text.
    """
    check_is_utf8_text(path, name)
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        start = stream.read(_SNIFF).lstrip()
    first, _, rest = start.partition("\n")
    if start.startswith("["):
        return JsonArray(path, name)
    if path.suffix.lower() in (".jsonl", ".ndjson") or (rest.strip() and _is_object(first)):
        return JsonLines(path, name)
    return JsonArray(path, name)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _why_not(exc: ValueError, text: str) -> str:
    if not isinstance(exc, json.JSONDecodeError):
        return str(exc)
    if exc.pos >= len(text.rstrip()) or exc.msg.startswith("Unterminated string"):
        return f"the JSON ends in the middle of a row (column {exc.colno}: {exc.msg.lower()})"
    return f"not valid JSON (column {exc.colno}: {exc.msg.lower()})"


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line. Empty lines are passed over."""

    path: Path
    name: str
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def rows(self) -> Iterator[RawRow]:
        number = 0
        for line, text, broken in read_lines(self.path):
            if text.isspace():
                continue
            value: Any = None
            if not broken:
                try:
                    value = json.loads(text.rstrip())
                except RecursionError:
                    broken = "nested too deep to read"
                except ValueError as exc:
                    broken = _why_not(exc, text)
            if not broken and not isinstance(value, dict):
                broken = f'a row must be an object such as {{"text": …}}, not {type(value).__name__}'
            yield RawRow(number, None if broken else value, self.name, line, broken)
            number += 1


class _Window:
    """The part of a text stream that is being parsed: grows when a value does not fit, forgets what was read."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.text = ""
        self.at = 0
        self.line = 1
        self.ended = False

    def grow(self) -> None:
        # Doubling keeps the total work linear when one value is much longer than a chunk.
        chunk = self.stream.read(max(_CHUNK, len(self.text) - self.at))
        self.text = self.text[self.at :] + chunk
        self.at = 0
        self.ended = not chunk

    def move(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def peek(self) -> str:
        """The next character that is not white space, or '' at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.move(self.at + 1)
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ""
            self.grow()

    def take(self, character: str) -> bool:
        if self.peek() != character:
            return False
        self.move(self.at + 1)
        return True

    def value(self) -> Any:
        """The JSON value that starts here.

        Raises:
            ValueError: It is not JSON, or does not end within 64 MiB.
        """
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as exc:
                # An error near the end of the window may only mean that the window is too short (an escape such as
                # \u1234 has six characters); an open string is reported at its start, wherever the window ends.
                cut = exc.msg.startswith("Unterminated string") or exc.pos >= len(self.text) - 8
                if self.ended or not cut or len(self.text) - self.at > MOST_ROW_BYTES:
                    raise
            else:
                if end < len(self.text) or self.ended:
                    self.move(end)
                    return value
            self.grow()


@dataclass(frozen=True)
class JsonArray:
    """An array of objects, on its own or under a key of one object."""

    path: Path
    name: str
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def rows(self) -> Iterator[RawRow]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as stream:
                window = _Window(stream)
                if window.peek() == "{":
                    self._enter_object(window)
                yield from self._elements(window)
        except UnicodeDecodeError as exc:
            raise (find_bad_bytes(self.path, self.name) or DataError(f"{self.name} is not UTF-8.")) from exc

    def _enter_object(self, window: _Window) -> None:
        """Stop before the first list found under a key."""
        window.take("{")
        while window.peek() == '"':
            self._value(window)
            if not window.take(":"):
                break
            if window.peek() == "[":
                return
            self._value(window)
            window.take(",")
        raise DataError(
            f"{self.name}:{window.line}: an object without a list of rows in it.",
            hint='Write an array of objects, {"data": [ … ]}, or one object a line in a file that ends in .jsonl.',
        )

    def _elements(self, window: _Window) -> Iterator[RawRow]:
        if not window.take("["):
            raise self._stop(window, "expected a list of rows")
        number = 0
        if window.take("]"):
            return
        while True:
            window.peek()
            line = window.line
            value = self._value(window)
            broken = "" if isinstance(value, dict) else f"a row must be an object, not {type(value).__name__}"
            yield RawRow(number, None if broken else value, self.name, line, broken)
            number += 1
            if window.take("]"):
                return
            if not window.take(","):
                raise self._stop(window, f"after row {number - 1}, expected ',' or ']'")

    def _value(self, window: _Window) -> Any:
        window.peek()
        line = window.line
        try:
            return window.value()
        except UnicodeDecodeError:
            raise  # rows() knows where; it is a ValueError too, so it must be let through first
        except RecursionError as exc:
            raise self._stop(window, "nested too deep to read") from exc
        except json.JSONDecodeError as exc:
            at = line + exc.doc.count("\n", window.at, exc.pos)
            what = "the file ends in the middle of a row" if window.ended else "not valid JSON"
            raise DataError(f"{self.name}:{at}: {what} ({exc.msg.lower()}).", hint=_MEND) from exc
        except ValueError as exc:
            raise self._stop(window, str(exc)) from exc

    def _stop(self, window: _Window, why: str) -> DataError:
        return DataError(f"{self.name}:{window.line}: {why}.", hint=_MEND)


_MEND = (
    "Mend the file at that line: nothing after it can be told apart. In a .jsonl file, one object a line, a broken row "
    "would cost that row only."
)
