"""``peft-studio chat MODEL``: questions in, answers out, adapters switched by name."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from peft_studio._studio import Studio
from peft_studio.cli.choose import find_run
from peft_studio.cli.figures import gib, rate
from peft_studio.cli.terminal import Terminal
from peft_studio.core.chat import BaseDoubt, Chat, Reply
from peft_studio.core.errors import ChatError, StudioError
from peft_studio.core.ids import is_run_id
from peft_studio.widgets._text import plain

HELP = """\
/adapter NAME   answer with that adapter
/base           answer with the bare base model
/add NAME=PATH  bring in an adapter: a folder or a run
/list           adapters that are here
/quit           leave; so do Ctrl-D and Ctrl-C, which first ends an answer
Each question stands alone: what was said before is not sent again."""


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Load, then answer until the input ends."""
    studio = Studio(home=arguments.home)
    adapters = dict(parse_adapter(studio, text) for text in arguments.adapter)
    talks = sys.stdin.isatty() and terminal.out.isatty()
    if talks:
        terminal.say(f"Loading {plain(arguments.model)} …", "muted")
    same_base = arguments.same_base
    with _doubts_said(terminal), studio.chat(arguments.model, adapters=adapters, same_base=same_base) as chat:
        session = Session(chat, studio, terminal, max_new_tokens=arguments.max_new_tokens, same_base=same_base)
        session.adapter = next(iter(adapters), None)
        if talks:
            session.talk()
        else:
            session.answer_lines()
    return 0


@contextlib.contextmanager
def _doubts_said(terminal: Terminal) -> Iterator[None]:
    """What Python would warn of with a file and a line is said as a sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", BaseDoubt)
        warnings.showwarning = lambda message, *_, **__: terminal.complain(plain(str(message)))
        yield


def parse_adapter(studio: Studio, text: str) -> tuple[str, Path]:
    """Name and folder of ``NAME=FOLDER``, ``NAME=RUN``, ``RUN`` or ``FOLDER``; a run or folder alone is called ``tuned``."""
    name, equals, place = text.partition("=")
    if not equals:
        name, place = "tuned", text
    if not name or not place:
        raise ChatError(f"{text!r} names no adapter.", hint="Write NAME=FOLDER or NAME=RUN, say json=adapter/.")
    if is_run_id(place) and not Path(place).exists():
        return name, find_run(studio, place).adapter.path
    return name, Path(place).expanduser()


class Session:
    """One sitting. ``adapter`` is who answers; None is the bare base model."""

    def __init__(self, chat: Chat, studio: Studio, terminal: Terminal, *, max_new_tokens: int, same_base: bool) -> None:
        self._chat, self._studio, self._terminal = chat, studio, terminal
        self._max_new_tokens, self._same_base = max_new_tokens, same_base
        self.adapter: str | None = None

    def answer_lines(self) -> None:
        """Every line of standard input is a prompt; its answer is one line."""
        for line in sys.stdin:
            if prompt := line.strip():
                reply = self._chat.ask(prompt, adapter=self.adapter, max_new_tokens=self._max_new_tokens)
                self._terminal.say(" ".join(plain(reply.text, limit=len(reply.text) + 1).split()))

    def talk(self) -> None:
        """Questions and answers until the person leaves."""
        with contextlib.suppress(ImportError):  # line editing, where Python has it
            import readline  # noqa: F401
        self._terminal.say(HELP, "muted")
        while True:
            try:
                text = input(f"\n{self.adapter or 'base'}> ").strip()
            except (EOFError, KeyboardInterrupt):
                self._terminal.say()
                return
            if text in {"/quit", "/exit"}:
                return
            try:
                if text.startswith("/"):
                    self._obey(text)
                elif text:
                    self._answer(text)
            except StudioError as error:
                self._terminal.complain(error.message, hint=error.hint)

    def _answer(self, prompt: str) -> None:
        terminal = self._terminal
        stream = self._chat.stream(prompt, adapter=self.adapter, max_new_tokens=self._max_new_tokens)
        before = self._chat.last
        try:
            for piece in _safe(stream):
                terminal.out.write(piece)
                terminal.out.flush()
            terminal.say()
        except KeyboardInterrupt:
            stream.close()
            terminal.say("\n(ended here)", "muted")
        if (reply := self._chat.last) is not None and reply is not before:
            terminal.say(_cost(reply), "muted")

    def _obey(self, text: str) -> None:
        command, _, rest = text.partition(" ")
        rest = rest.strip()
        if command == "/base":
            self.adapter = None
        elif command == "/adapter":
            if rest not in self._chat.adapters:
                here = ", ".join(self._chat.adapters) or "none; /add NAME=PATH brings one in"
                raise ChatError(f"There is no adapter {rest!r} here.", hint=f"There is: {here}.")
            self.adapter = rest
        elif command == "/add":
            name, path = parse_adapter(self._studio, rest)
            self._chat.add(name, path, same_base=self._same_base)
            self.adapter = name
        elif command == "/list":
            self._terminal.say(", ".join(self._chat.adapters) or "no adapters")
        else:
            self._terminal.say(HELP, "muted")


def _safe(pieces: Iterator[str]) -> Iterator[str]:
    """What a model says, without what a terminal would take as a command."""
    for piece in pieces:
        yield re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", piece)


def _cost(reply: Reply) -> str:
    cut = ", cut at --max-new-tokens" if reply.ended == "length" else ""
    note = f" · {plain(reply.note)}" if reply.note else ""
    return (
        f"{reply.tokens} tokens{cut} · {rate(reply.tokens_per_s)} tokens/s · first after {reply.first_token_s:.2f} s · "
        f"{gib(reply.memory_bytes)}{note}"
    )
