"""The line to a chat process: starting it, sending commands, reading replies, noticing that it died.

Knows the protocol (``runner.trainer.chat`` documents it) and nothing of what is said over it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Generator
from typing import Any

from peft_studio.core.errors import AdapterMismatch, ChatError, StudioError
from peft_studio.core.models import ModelFailure
from peft_studio.core.system import SHARING
from peft_studio.core.vault import without_keys

_KEPT_LINES = 20  # of standard error, for the message when it dies
_CLOSE_S = 5.0
_PARTIAL = frozenset({"piece", "answer"})  # lines that are not a command's last


class ChatProcess:
    """One chat process. Only one exchange at a time; ``interrupt`` and ``close`` may come from any thread."""

    def __init__(self, python: str) -> None:
        self._popen = subprocess.Popen(
            [python, "-m", "peft_studio.runner", "chat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_build_environment(),
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._writing = threading.Lock()
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._errors = threading.Thread(target=self._keep_errors, name="chat-errors", daemon=True)
        self._errors.start()
        self._count = 0
        self._closed = False

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return not self._closed and self._popen.poll() is None

    def exchange(self, command: str, **fields: Any) -> Generator[dict[str, Any], None, None]:
        """Send one command; give its pieces as they come and its ``done`` line last.

        When the caller stops early, the answer is ended and read to its end, so that the line is free again.

        Raises:
            StudioError: What the process answered. ChatError: It is gone.
        """
        self._count += 1
        number = self._count
        self._send(id=number, command=command, **fields)
        finished = False
        try:
            while not finished:
                line = self._receive(number)
                finished = not _PARTIAL & line.keys()
                if "error" in line:
                    raise _build_error(line["error"])
                yield line
        finally:
            if not finished and self.running:
                self.interrupt()
                while _PARTIAL & self._receive(number).keys():
                    pass

    def interrupt(self) -> None:
        """End the answer that is being written, after its current token; nothing happens when there is none."""
        self._send(command="stop")

    def close(self) -> None:
        """End the process; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        stdin = self._popen.stdin
        assert stdin is not None
        with self._writing, contextlib.suppress(BrokenPipeError):  # it may be gone already
            stdin.close()
        try:
            self._popen.wait(timeout=_CLOSE_S * 2)  # it ends by itself within its own 5 s
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._errors.join()
        for stream in (self._popen.stdout, self._popen.stderr):
            if stream is not None:
                stream.close()

    def _send(self, **line: Any) -> None:
        if self._closed:
            raise ChatError("This chat is closed.", hint="Open a new one with studio.chat(…).")
        stdin = self._popen.stdin
        assert stdin is not None
        try:
            with self._writing:
                stdin.write(json.dumps(line) + "\n")
                stdin.flush()
        except (BrokenPipeError, ValueError) as exc:
            raise self._build_death() from exc

    def _receive(self, number: int) -> dict[str, Any]:
        stdout = self._popen.stdout
        assert stdout is not None
        while True:
            try:
                text = stdout.readline()
            except ValueError:  # closed by another thread
                text = ""
            if not text:
                raise self._build_death()
            line: dict[str, Any] = json.loads(text)
            if line.get("id") == number:
                return line

    def _build_death(self) -> ChatError:
        if self._closed:
            return ChatError("This chat was closed while it answered.", hint="Open a new one with studio.chat(…).")
        status = self._popen.wait()
        self._errors.join()
        last = "\n".join(self._last_lines).strip() or "(it said nothing)"
        hint = "Open a new chat."
        if status in (-9, 137):
            hint = "It was killed, often because memory ran out: close other programs, or use quantization='nf4'."
        return ChatError(f"The chat process ended with status {status}. Its last lines:\n{last}", hint=hint)

    def _keep_errors(self) -> None:
        stream = self._popen.stderr
        assert stream is not None
        for line in stream:
            self._last_lines.append(line.rstrip("\n"))


def _build_environment() -> dict[str, str]:
    """Ours, without what an answer does not need: the model is on this machine, so no key and no network."""
    return {**SHARING, **without_keys(os.environ, keep=()), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def _build_error(error: dict[str, Any]) -> StudioError:
    """The error the process met, as if it had been met here."""
    if error["kind"] == "ModelFailure":
        return ModelFailure(error["message"], code=error["code"], hint=error["hint"])
    if error["kind"] == "AdapterMismatch":
        return AdapterMismatch(error["message"], hint=error["hint"], code=error["code"] or "")
    return ChatError(error["message"], hint=error["hint"])
