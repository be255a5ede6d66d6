"""A user's process that can be killed at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping


class Client:
    """A script in a process group of its own, as a notebook's kernel is. ``env`` comes on top of ours."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        loop = "import sys\nfor line in sys.stdin:\n    exec(eval(line)); print('<done>', flush=True)"
        self._process = subprocess.Popen(
            [sys.executable, "-c", loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )

    def execute(self, cell: str) -> str:
        """Run it and give what it printed; returns when it is done."""
        self.begin(cell)
        assert self._process.stdout
        printed = []
        while (line := self._process.stdout.readline()) != "<done>\n":
            assert line, "it died over this"
            printed.append(line)
        return "".join(printed)

    def begin(self, cell: str) -> None:
        """Have it run, and do not wait."""
        assert self._process.stdin
        self._process.stdin.write(repr(cell) + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL to all of it. Again is nothing."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
