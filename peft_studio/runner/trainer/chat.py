"""The chat process: JSON lines in on standard input, JSON lines out on standard output, one command after the other.

    {"id": 1, "command": "load", "folder": …}          also: add, remove, switch, ask, ask_many, stats, close
    {"command": "stop"}                                ends the answer that is being written; has no reply of its own

Every command with an id gets ``{"id", "done": {…}}`` or ``{"id", "error": {kind, message, hint, code}}`` at its end;
``ask`` sends ``{"id", "piece"}`` before that, ``ask_many`` an ``{"id", "number", "answer"}`` a prompt. The process ends by
itself when its input ends or its parent dies. What the commands do is ``chat_model``; the other end is ``core.chat``.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

import psutil

from peft_studio.core.errors import ChatError, StudioError
from peft_studio.runner.trainer.late_compile import load_bitsandbytes
from peft_studio.runner.trainer.loading import collecting_later

# Long enough to end an answer in good order; a first token or a load that takes longer is cut off.
_GRACE_S = 5.0
_PARENT_CHECK_S = 1.0


class ChatServer:
    """Reads commands on a thread of its own, so that ``stop`` and the end of input are heard during an answer."""

    def __init__(self, source: TextIO, out: TextIO) -> None:
        self._source = source
        self._out = out
        self._commands: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._model: Any = None

    def serve(self) -> int:
        """Work until ``close`` or the end of input."""
        threading.Thread(target=self._read, name="commands", daemon=True).start()
        threading.Thread(target=self._watch_parent, name="parent", daemon=True).start()
        while (request := self._commands.get()) is not None:
            try:
                done = self._do(request)
            except StudioError as exc:
                self._tell(id=request["id"], error=_describe(exc))
                continue
            self._tell(id=request["id"], done=done)
            if request["command"] == "close":
                break
        return 0

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        commands: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "load": self._load,
            "add": lambda r: self._loaded().add(r["name"], r["path"], same_base=r["same_base"]),
            "remove": lambda r: self._loaded().remove(r["name"]),
            "switch": lambda r: self._loaded().switch(r["adapter"]),
            "ask": self._ask,
            "ask_many": self._ask_many,
            "stats": lambda r: self._loaded().stats(),
            "close": lambda r: {},
        }
        if request["command"] not in commands:
            raise ChatError(
                f"There is no chat command {request['command']!r}.", hint="Update PEFT Studio on both ends."
            )
        return commands[request["command"]](request)

    def _load(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._model is None:  # torch and what stands on it: seconds
            with collecting_later():
                load_bitsandbytes()
                importlib.import_module("peft_studio.runner.trainer.chat_model")
        from peft_studio.runner.trainer.chat_model import load_chat_model

        fields = {key: value for key, value in request.items() if key not in ("id", "command")}
        self._model = load_chat_model(**fields)
        stats: dict[str, Any] = self._model.stats()
        return stats

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        fields = {key: value for key, value in request.items() if key not in ("id", "command")}
        reply: dict[str, Any] = self._loaded().ask(
            **fields, on_piece=lambda piece: self._tell(id=request["id"], piece=piece), stop=self._stop
        )
        return reply

    def _ask_many(self, request: dict[str, Any]) -> dict[str, Any]:
        fields = {key: value for key, value in request.items() if key not in ("id", "command")}
        done: dict[str, Any] = self._loaded().ask_many(
            **fields, on_answer=lambda n, answer: self._tell(id=request["id"], number=n, answer=answer), stop=self._stop
        )
        return done

    def _loaded(self) -> Any:
        if self._model is None:
            raise ChatError("No model is loaded yet.", hint="Send load first.")
        return self._model

    def _tell(self, **line: Any) -> None:
        try:
            self._out.write(json.dumps(line) + "\n")
            self._out.flush()
        except BrokenPipeError:
            self._leave()

    def _read(self) -> None:
        for line in self._source:
            request = json.loads(line)
            if request["command"] == "stop":
                self._stop.set()
            else:
                # Cleared here and not where the command starts: a stop may follow before that, and must not be lost.
                self._stop.clear()
                self._commands.put(request)
        self._leave()

    def _watch_parent(self) -> None:
        """The end of input is the usual sign; a copy of the pipe's other end in a forked sibling can hide it."""
        try:
            parent = psutil.Process(os.getppid())
        except psutil.NoSuchProcess:
            self._leave()
            return
        pause = threading.Event()
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE and os.getppid() == parent.pid:
            pause.wait(_PARENT_CHECK_S)
        self._leave()

    def _leave(self) -> None:
        """End soon: after the token that is being computed, or by force when that takes too long."""
        timer = threading.Timer(_GRACE_S, os._exit, [0])
        timer.daemon = True
        timer.start()
        self._stop.set()
        self._commands.put(None)


def _describe(exc: StudioError) -> dict[str, Any]:
    code = getattr(exc, "code", None)
    return {"kind": type(exc).__name__, "message": exc.message, "hint": exc.hint, "code": code}


def chat_main(argv: list[str]) -> int:
    """``python -m peft_studio.runner chat``: see the module. Takes no arguments."""
    # Ctrl-C goes to the whole process group; it is meant for the person's own code, which tells us with stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)  # whatever libraries print must not fall between our lines
    source = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  lives as long as the process
    return ChatServer(source, out).serve()
