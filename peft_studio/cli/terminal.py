"""Where the commands write. On a terminal that can, a block of lines is redrawn in place; everywhere else only plain lines are written.

Plain ANSI, no library. Control characters go out only from here, and only to a terminal that understands them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TextIO

Span = tuple[str, str]  # text, role
Line = list[Span]

_SGR = {"bold": "1", "muted": "2", "ok": "32", "warn": "33", "error": "31", "accent": "36"}
NARROWEST = 20
PLAIN_WIDTH = 100  # of a pipe


class Terminal:
    """Standard output. ``live``: blocks may be redrawn; ``color``: hue may be used (never alone: a word always stands beside it)."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        for stream in (self.out, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal without "→" gets "?", not a stack trace
        term = os.environ.get("TERM") or os.environ.get("WT_SESSION", "")
        self.live = self.out.isatty() and term not in {"", "dumb"}
        self.color = self.live and not os.environ.get("NO_COLOR")
        self.unicode = _can_write(self.out, "━▁█→")
        self.home: str | None = None  # as it was given, so that commands we suggest mean the same runs
        self._block: list[int] = []  # visible widths of the lines that stand on the screen

    @property
    def width(self) -> int:
        """Columns that may be used. One less than there are: a full line would wrap on some terminals."""
        if not self.live:
            return PLAIN_WIDTH
        return max(NARROWEST, shutil.get_terminal_size((80, 24)).columns - 1)

    def say(self, text: str = "", role: str = "") -> None:
        """Write text that stays, above the block if there is one. On a terminal, long lines are broken between words."""
        for line in text.split("\n"):
            self.beside([], line, role)

    def beside(self, head: Line, text: str, role: str = "") -> None:
        """Write text that stays, broken between words, every line of it standing right of ``head``."""
        self._erase()
        room = self.width - sum(cells(part) for part, _ in head)
        lines = _wrap(text, room, hang=0 if head else 2) if self.live and room >= NARROWEST else [text]
        start = "".join(self.paint(part, hue) for part, hue in head)
        blank = " " * sum(cells(part) for part, _ in head)
        for number, line in enumerate(lines):
            self._write((blank if number else start) + self.paint(line, role) + "\n")

    def put(self, line: Line) -> None:
        """Write one line that stays, as it is."""
        self._erase()
        self._write("".join(self.paint(text, role) for text, role in line).rstrip() + "\n")

    def exact(self, *lines: str) -> None:
        """Write lines that are meant to be copied: never broken, for a broken command or path is another one."""
        for line in lines:
            self.put([(f"  {line}", "")])

    def command(self, *words: str) -> str:
        """What to type to run one of our commands from here, on the same home."""
        home = ("--home", self.home) if self.home else ()
        return " ".join([_program(), *(shlex.quote(word) for word in (*words, *home))])

    def show(self, lines: Sequence[Line]) -> None:
        """Put this block at the end of the screen, in place of the one before. Only where ``live``."""
        self._erase()
        fitted = [fit(line, self.width) for line in lines]
        self._block = [sum(cells(text) for text, _ in line) for line in fitted]
        self._write("".join("".join(self.paint(text, role) for text, role in line) + "\n" for line in fitted))

    def clear(self) -> None:
        """Take the block away."""
        self._erase()
        self.out.flush()

    def keep(self) -> None:
        """Let the block stay where it is; what comes next stands below it."""
        self._block = []

    def complain(self, message: str, *, hint: str = "") -> None:
        """Say on standard error what went wrong and what to do."""
        self.aside(f"peft-studio: {message}" + (f"\n  → {hint}" if hint else ""))

    def aside(self, text: str) -> None:
        """Say on standard error what is not the answer, so that a script that reads the answer is not disturbed."""
        self.out.flush()
        print(_harmless(text), file=sys.stderr, flush=True)

    def paint(self, text: str, role: str) -> str:
        """The text in a role's colour, or as it is. What a terminal would obey is taken out: words come from models, data and strangers' runs."""
        text = _harmless(text)
        return f"\x1b[{_SGR[role]}m{text}\x1b[0m" if self.color and role and text else text

    def _erase(self) -> None:
        if not self._block:
            return
        # A terminal made narrower since has wrapped the old lines: count the rows they take now.
        columns = self.width + 1
        rows = sum(max(1, -(-width // columns)) for width in self._block)
        self._write(f"\x1b[{rows}A\x1b[0J")
        self._block = []

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()


def _harmless(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    from peft_studio.widgets._text import plain  # loads more than --help needs

    return plain(text, limit=len(text) + 1)


def fit(line: Line, width: int) -> Line:
    """The line cut to ``width`` columns, with an ellipsis where something was cut."""
    if sum(cells(text) for text, _ in line) <= width:
        return line
    fitted: Line = []
    left = width - 1
    for text, role in line:
        taken = ""
        for character in text:
            if (size := cells(character)) > left:
                return [*fitted, (taken + "…", role)]
            taken, left = taken + character, left - size
        fitted.append((taken, role))
    return fitted


def flow(pieces: Sequence[Line], width: int, *, gap: str = "   ") -> list[Line]:
    """Pieces side by side, on as many lines as they need."""
    lines: list[Line] = []
    used = 0
    for piece in pieces:
        size = sum(cells(text) for text, _ in piece)
        if lines and used + len(gap) + size <= width:
            lines[-1] += [(gap, ""), *piece]
            used += len(gap) + size
        else:
            lines.append(list(piece))
            used = size
    return lines


def cells(text: str) -> int:
    """Columns that a text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _wrap(text: str, width: int, *, hang: int) -> list[str]:
    if cells(text) <= width:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=indent + " " * hang,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [text]


def _program() -> str:
    """Our name as the person's shell finds it: the bare name where it is on the path, else where it stands."""
    called = sys.argv[0] if sys.argv and os.path.basename(sys.argv[0]).startswith("peft-studio") else "peft-studio"
    found = shutil.which("peft-studio")
    same = found is not None and os.path.exists(called) and os.path.samefile(found, called)
    return "peft-studio" if same else shlex.quote(called)


def _can_write(out: TextIO, text: str) -> bool:
    try:
        text.encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
