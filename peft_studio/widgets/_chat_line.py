"""The Chat panel's hold on a chat process: opened for the first prompt, kept while the base stays, let go of at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peft_studio.core.chat import Chat
from peft_studio.core.errors import ChatError
from peft_studio.widgets._chat_turns import Answer


class Line:
    """One chat process at a time. One thread asks; ``stop`` and ``close`` may come from any."""

    def __init__(self, open_chat: Callable[[str], Chat]) -> None:
        self._open_chat = open_chat
        self._lock = threading.Lock()  # over what follows, never held while the process works
        self._chat: Chat | None = None
        self._opening_since: float | None = None  # on the monotonic clock
        self._paths: dict[str, Path] = {}  # adapters that the process has
        self._model = ""
        self._closed = False
        self.loads = 0  # how often a base was loaded
        self.load_s: float | None = None
        self.facts: dict[str, Any] = {}  # what the process said of itself last
        self.stopping = threading.Event()

    @property
    def state(self) -> str:
        """``opening``, ``open`` or ``closed``."""
        if self._opening_since is not None:
            return "opening"
        return "open" if self._chat is not None and not self._chat.closed else "closed"

    @property
    def opening_s(self) -> float | None:
        """For how long the base has been loading."""
        since = self._opening_since
        return None if since is None else time.monotonic() - since

    def open(self, model: str) -> Chat:
        """The process with this base; starts it when there is none. Blocks for seconds."""
        if self._chat is not None and not self._chat.closed and self._model == model:
            return self._chat
        self.let_go()
        self._opening_since = began = time.monotonic()
        try:
            chat = self._open_chat(model)
        finally:
            self._opening_since = None
        self.load_s = time.monotonic() - began
        with self._lock:
            if not self._closed:
                self._chat, self._model, self._paths = chat, model, {}
                self.loads += 1
        if self._closed:  # meanwhile nobody shows the panel any more
            chat.close()
            raise ChatError("The panel was closed while the base model loaded.", hint="Run its cell again.")
        self.facts = chat.stats()
        return chat

    def attach(self, name: str, path: Path, *, same_base: bool = False) -> str:
        """Have the process hold this adapter; nothing happens when it does. The base stays as it is.

        Returns why it may be one of another base, if that is in doubt.
        """
        chat = self._chat
        if chat is None or self._paths.get(name) == path:
            return ""
        done = chat.add(name, path, same_base=same_base, quiet=True)
        self._paths[name] = path
        return str(done["doubt"])

    def retain(self, names: set[str | None]) -> None:
        """Free the memory of all other adapters."""
        for name in self._paths.keys() - names:
            del self._paths[name]
            if self._chat is not None:
                self._chat.remove(name)

    def ask(self, answer: Answer, options: dict[str, Any]) -> None:
        """Fill in an answer as it comes. Ends early, with what there is, when ``stop`` is called."""
        chat = self._chat
        if chat is None:
            raise ChatError("This chat is closed.", hint="Send the prompt again.")
        told = False
        answer.state = "answering"
        for piece in chat.stream(answer.sent, adapter=answer.name, **options):
            answer.text += piece
            if self.stopping.is_set() and not told:  # a stop may have come before this question was on its way
                told = True
                chat.stop()
        assert chat.last is not None
        answer.reply = chat.last
        answer.text = chat.last.text
        answer.state = "stopped" if chat.last.ended == "stopped" else "done"
        self.facts = {**self.facts, "memory_bytes": chat.last.memory_bytes, "adapters": list(chat.adapters)}

    def stop(self) -> None:
        """End what is being answered, after its current token."""
        self.stopping.set()
        chat = self._chat
        if chat is not None and not chat.closed:
            chat.stop()

    def take(self) -> Chat | None:
        """Hand the process over, to be closed; the next prompt starts another."""
        with self._lock:
            chat, self._chat, self._paths, self.facts = self._chat, None, {}, {}
        return chat

    def let_go(self) -> None:
        """End the process and free its memory."""
        if chat := self.take():
            chat.close()

    def close(self) -> None:
        """End the process for good."""
        self._closed = True
        self.stopping.set()
        self.let_go()
