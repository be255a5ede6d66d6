"""The trainer as the agent sees it: a child process that prints events, takes one command on standard input, and ends.

Standard output carries events as JSON lines; standard error is log text. Closing the trainer's standard input tells it that its agent
is gone. Several that train one run together are :mod:`ranks`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.system import SHARING, WINDOWS, end_process_tree

LINE_LIMIT_BYTES = 2**22  # a sample or a stack trace may be long; what is longer comes in pieces


class TrainerProcess:
    """One execution of the trainer. Call :meth:`run` once; :meth:`stop` may come from the same event loop meanwhile."""

    def __init__(self, folder: RunFolder, *, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", "peft_studio.runner", "train", str(folder.path), *arguments]
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        return self._process.returncode if self._process else None

    async def start(self, *, keep_open: int) -> None:
        """Start it in a process group of its own, so that ending it ends all that it started.

        ``keep_open`` is the locked file of the device: with it inherited, a trainer whose agent was killed still has the device.
        """
        pipe = asyncio.subprocess.PIPE
        group: dict[str, Any] = {} if WINDOWS else {"start_new_session": True, "pass_fds": [keep_open]}
        environment = {
            **SHARING,
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **self._environment,
        }
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, **group
        )  # fmt: skip

    async def run(self, *, on_event: Callable[[dict[str, Any]], None], on_line: Callable[[str], None]) -> int:
        """Pass on events and log lines until the process has ended; return its exit status, negative for a signal."""
        process = self._process
        assert process
        assert process.stdout
        assert process.stderr
        await asyncio.gather(self._events(process.stdout, on_event, on_line), self._lines(process.stderr, on_line))
        return await process.wait()

    def stop(self, *, save: bool) -> None:
        """Ask for a stop after the current step, keeping what was learned; without ``save`` end it now."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if not save:
            end_process_tree(process.pid, grace_s=1.0)
        elif process.stdin and not process.stdin.is_closing():
            process.stdin.write(b'{"command": "stop"}\n')

    async def _events(
        self, stream: asyncio.StreamReader, on_event: Callable[[dict[str, Any]], None], on_line: Callable[[str], None]
    ) -> None:
        async for line in lines_of(stream):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                event = None
            if isinstance(event, dict):
                on_event(event)
            else:  # something else prints there, too
                on_line(line.decode(errors="replace").rstrip())

    async def _lines(self, stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
        async for line in lines_of(stream):
            text = line.decode(errors="replace").rstrip("\r")
            # Progress bars redraw one line with carriage returns: the last drawing is what a person would see.
            if text := text.rsplit("\r", 1)[-1]:
                on_line(text)


async def lines_of(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines without their ends. asyncio's own reader raises on a long one, which would cost the agent its life."""
    rest = b""
    while chunk := await stream.read(2**16):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > LINE_LIMIT_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest
