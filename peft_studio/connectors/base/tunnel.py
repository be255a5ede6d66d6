"""One forwarded port, held open by an ``ssh`` of the system. Knows neither keys nor providers."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence

from peft_studio.core.errors import ConnectorError

READY = b"ready"
OPEN_S = 60.0  # ssh itself gives up what does not answer; not a machine that answers and starts no shell
END_S = 5.0
ATTEMPTS = 3  # the free port that was found may be taken by another before ssh has it


class Tunnel:
    """``127.0.0.1:port`` is the machine's port. A context manager; ``alive`` turns False when the line breaks, within 15 s.

    The command that runs there reads its input, which ends with this process: no tunnel outlives whoever opened it.
    """

    def __init__(
        self, command: Sequence[str], host: str, port: int, build_error: Callable[[int, str], ConnectorError]
    ) -> None:
        for attempt in range(ATTEMPTS):
            self.port = _free_port()
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the tunnel)
            self._process = subprocess.Popen(
                [*command, "-L", f"127.0.0.1:{self.port}:127.0.0.1:{port}", host, f"echo {READY.decode()}; exec cat >/dev/null"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
            )  # fmt: skip
            if self._is_ready():
                return
            code = self._process.wait()
            said = self._words() or f"no answer in {OPEN_S:.0f} s"
            self.close()
            if "forwarding" not in said or attempt + 1 == ATTEMPTS:
                raise build_error(code, said)

    @property
    def alive(self) -> bool:
        """Whether the line still stands, as far as this side knows."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it. Again is nothing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _is_ready(self) -> bool:
        """Wait for the word that comes from there; False where ssh ends before, or has to be ended."""
        assert self._process.stdout is not None
        watch = threading.Timer(OPEN_S, self._process.kill)
        watch.daemon = True
        watch.start()
        try:
            return self._process.stdout.readline().strip() == READY
        finally:
            watch.cancel()

    def _words(self) -> str:
        self._said.seek(0)
        return self._said.read().decode("utf-8", "replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
