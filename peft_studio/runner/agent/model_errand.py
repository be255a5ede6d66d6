"""Brings a closed base model of the hub before the trainer starts, in a process that has its token by standard input and in memory alone.

On rented machines. At home the studio brings such models itself, and no process of a run has a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from peft_studio.core.runs.failures import of_model
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import SHARING, end_process_tree
from peft_studio.runner.agent.trainer_process import lines_of

LONGEST_STEP = 2000  # of what is shown, in characters
NO_REASON = "Resume tries it again. If it stays, studio.prepare(model) at home says more; please send a report."


def read_door_gifts(text: str) -> dict[str, str]:
    """What the machine's door has for this run, as its desk writes it: a JSON object of texts. Nothing of one that is torn."""
    found = _read_line(text)
    return {str(name): str(value) for name, value in found.items()}


def _read_line(line: str | bytes) -> dict[str, Any]:
    """What it says; nothing where something else printed into its output, which is not shown: nobody has looked through that."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}


class ModelErrand:
    """One download. ``error``: what came of it, where it failed: code, message, hint."""

    def __init__(self, folder: RunFolder, spec: RunSpec, given: dict[str, str]) -> None:
        code = ["--remote-code", f"{spec.remote_code.repo}@{spec.remote_code.commit}"] if spec.remote_code else []
        self._command = [
            sys.executable, "-m", "peft_studio.runner", "prepare", spec.model, "--home", str(folder.home), "--token-on-stdin", *code,
        ]  # fmt: skip
        self._token = given.pop("HF_TOKEN", "")
        self._environment = {**SHARING, **os.environ, **given, "HF_HUB_DISABLE_TELEMETRY": "1"}
        self._process: asyncio.subprocess.Process | None = None
        self.error: tuple[str, str, str] | None = None

    @property
    def pid(self) -> int:
        """Of the process that downloads."""
        assert self._process
        return self._process.pid

    async def start(self) -> None:
        """Start it, and hand it the token: here it is forgotten."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, env=self._environment, start_new_session=True
        )  # fmt: skip
        assert self._process.stdin
        self._process.stdin.write(self._token.encode())
        self._process.stdin.close()
        self._token = ""

    async def run(self, *, say: Callable[[str], None]) -> None:
        """Until it has ended. Its steps are said; the hub client's own output, which nobody has looked through, is not kept."""
        process, last = self._process, dict[str, Any]()
        assert process
        assert process.stdout
        async for line in lines_of(process.stdout):
            told = _read_line(line)
            last = told or last
            if step := told.get("step"):
                say(str(step)[:LONGEST_STEP])
        status = await process.wait()
        error = last.get("error")
        if isinstance(error, dict):
            code, message, hint = (str(error.get(name, "")) for name in ("code", "message", "hint"))
            self.error = of_model(code), message, hint
        elif status or "folder" not in last:
            self.error = (
                "model_missing",
                f"Downloading the base model ended with status {status} and no reason.",
                NO_REASON,
            )

    def stop(self) -> None:
        """End it, at any point: what has arrived stays in the client's cache."""
        if self._process and self._process.returncode is None:
            end_process_tree(self._process.pid, grace_s=1.0)
