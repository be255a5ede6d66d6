"""The client of a run's agent. The same for an agent on this machine and one on a rented node; only the address differs."""

from __future__ import annotations

import json
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from peft_studio.connectors.base.http import fetch_file
from peft_studio.core.errors import RunStateError
from peft_studio.core.ports.node import Chunk, Message
from peft_studio.core.runs.events import Event, parse_event

CONNECT_S = 5.0
ANSWER_S = 10.0
SILENCE_S = 10.0  # the agent beats every second; silence for this long is a broken line
RETRY_S = 0.25
CLOSE_S = 0.5  # a caller that stops listening leaves messages unread; nobody is to wait for a polite end
NOTHING = "after=999999999999&metrics=999999999999&system=999999999999"  # beyond any number: only answers are wanted


@dataclass(frozen=True, slots=True)
class Address:
    """Where an agent listens: on this machine, or below ``prefix`` of a rented machine's door. ``token`` never appears in a repr.

    ``tls``: how a machine that is reached over a network is known; None on this machine alone.
    """

    host: str
    port: int
    token: str
    prefix: str = ""
    tls: ssl.SSLContext | None = None

    def url(self, scheme: str, path: str) -> str:
        """An address there, by ``http`` or ``ws``, over TLS where that is how it is reached."""
        return f"{scheme}{'s' if self.tls else ''}://{self.host}:{self.port}{self.prefix}{path}"

    def __repr__(self) -> str:
        return f"Address({self.host}:{self.port}, token=***)"


class AgentClient:
    """Talks to one agent. ``find`` gives its address, or None when no agent is there; it is asked again at every attempt."""

    def __init__(self, find: Callable[[], Address | None]) -> None:
        self._find = find

    def stream(self, *, after: int = 0, metrics: int = 0, system: int = 0) -> Iterator[Message]:
        """Events above ``after`` and bytes from the offsets on, nothing lost and nothing doubled whatever happens to the line.

        Ends after the job's last event, or when there is no agent any more.
        """
        offsets = [metrics, system]
        while (address := self._find()) is not None:
            try:
                with self._connect(address, f"/stream?after={after}&metrics={offsets[0]}&system={offsets[1]}") as line:
                    for message in _messages(line):
                        if isinstance(message, Chunk):
                            offsets[message.file] = message.offset + len(message.data)
                        else:
                            after = message.seq
                        yield message
                        if isinstance(message, Event) and message.type == "finished":
                            return
            except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                time.sleep(RETRY_S)

    def command(self, name: str, **arguments: object) -> None:
        """Send a command and wait until the agent has accepted it.

        Raises:
            RunStateError: No agent answers, or it refuses.
        """
        address = self._find()
        if address is None:
            raise RunStateError(
                "This run has no living agent, so nothing can be asked of it.",
                hint="run.resume() continues it from its last checkpoint.",
            )
        try:
            with self._connect(address, f"/stream?{NOTHING}") as line:
                line.send(json.dumps({"command": name, **arguments}))
                while True:
                    answer = json.loads(_text(line.recv(timeout=ANSWER_S)))
                    if "error" in answer:
                        raise RunStateError(str(answer["error"]))
                    if "done" in answer:
                        return
        except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError) as exc:
            raise RunStateError(
                f"The run's agent did not answer: {exc}",
                hint="Look at run.state; if it is lost, run.resume() continues it.",
            ) from exc

    def fetch(self, name: str, to: Path) -> Path:
        """Copy one of the run's files."""
        address = self._find()
        if address is None:
            raise RunStateError("This run has no living agent to fetch files from.")
        return fetch_file(address.url("http", f"/files/{name}"), to, token=address.token, tls=address.tls)

    def _connect(self, address: Address, path: str) -> ClientConnection:
        headers = {"Authorization": f"Bearer {address.token}"}
        return connect(
            address.url("ws", path), additional_headers=headers, open_timeout=CONNECT_S, close_timeout=CLOSE_S, max_size=None,
            proxy=True if address.tls else None, ssl=address.tls,
        )  # fmt: skip


def _messages(line: ClientConnection) -> Iterator[Message]:
    while True:
        raw = line.recv(timeout=SILENCE_S)
        if isinstance(raw, bytes):
            file, offset = struct.unpack_from("<BQ", raw)
            yield Chunk(file, offset, raw[9:])
        elif "event" in (message := json.loads(raw)):
            yield parse_event(message["event"])


def _text(raw: str | bytes) -> str:
    return raw if isinstance(raw, str) else "{}"
