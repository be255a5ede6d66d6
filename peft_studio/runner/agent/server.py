"""The agent's door: a WebSocket for events, metrics and commands, and ranged HTTP for files. Loopback only, with a token.

WebSocket ``/stream?after=<seq>&metrics=<offset>&system=<offset>``. The agent sends
  text    {"event": {…}}            every event with a number above ``after``, in order, none twice
  binary  1 byte (0 metrics, 1 system) + u64 offset + bytes      that file's bytes from that offset on, up to its last whole record
  text    {"heartbeat": seconds}    at least every two seconds
and understands {"command": "stop", "save": bool}, answered by {"done": "stop"} or {"error": "…"}.
A client that was cut off comes back with the last ``seq`` and offsets it has: nothing is lost, nothing is doubled.

HTTP ``GET /files/<path inside the run folder>`` with ``Range: bytes=a-b``; at most 8 MiB an answer. ``/files/`` lists what there is.
Every request needs ``Authorization: Bearer <token>``; the token stands in ``agent.json``, which only this user can read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import re
import secrets
import struct
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogReader
from peft_studio.core.runs.metrics import MetricsReader
from peft_studio.core.runs.state import HEARTBEAT_S
from peft_studio.core.system import write_private
from peft_studio.runner.agent.journal import Journal

RETURN_S = 6.0  # a follower that was cut off is back within this time, or not at all
POLL_S = 0.2  # metrics are written by the trainer itself, so they are looked for
MOST_BYTES = 8 * 2**20  # of a file, in one answer
CHUNK_BYTES = 2**16  # of a metrics file, in one message: a line that breaks often must still get on
SHARED = ("spec.json", "events.jsonl", "metrics", "system", "checkpoints", "adapter")
_SHARED = {(name,) for name in SHARED}


class AgentServer:
    """Serves one run. ``command`` is called with each command object and returns an error text, or None."""

    def __init__(self, folder: RunFolder, journal: Journal, command: Callable[[dict[str, object]], str | None]) -> None:
        self._folder = folder
        self._journal = journal
        self._command = command
        self._token = secrets.token_urlsafe(32)
        self._server: Server | None = None
        self.clients = 0
        self._cut_off_at: float | None = None  # when the last follower left without having been told the end

    async def start(self) -> None:
        """Listen on a free loopback port and write ``agent.json``."""
        self._server = await serve(self._client, "127.0.0.1", 0, process_request=self._request, max_size=2**20)
        port = next(iter(self._server.sockets)).getsockname()[1]
        write_private(self._folder.agent, json.dumps({"host": "127.0.0.1", "port": port, "token": self._token}))

    async def stop(self, *, grace_s: float) -> None:
        """Let clients read to the end for up to ``grace_s``, also one that was cut off and will be back, then close."""
        deadline = time.monotonic() + grace_s
        while (self.clients or self._may_return()) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        self._folder.agent.unlink(missing_ok=True)
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    def _may_return(self) -> bool:
        return self._cut_off_at is not None and time.monotonic() - self._cut_off_at < RETURN_S

    async def _client(self, connection: ServerConnection) -> None:
        self.clients += 1
        request = connection.request
        wanted = parse_qs(urlsplit(request.path if request else "").query)
        after = {key: int(value[0]) for key, value in wanted.items() if value[0].isdigit()}
        follows = after.get("after", 0) <= self._journal.state.last_seq  # others come only with a command
        sender = asyncio.create_task(self._send(connection, after))
        try:
            async for message in connection:
                await connection.send(json.dumps(self._answer(message)))
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await sender
            self.clients -= 1
            if follows:
                told_all = not sender.cancelled() and sender.exception() is None
                self._cut_off_at = None if told_all else time.monotonic()

    def _answer(self, message: str | bytes) -> dict[str, object]:
        try:
            command = json.loads(message)
        except ValueError:
            command = None
        if not isinstance(command, dict) or "command" not in command:
            return {"error": "A command is a JSON object with the key 'command'."}
        error = self._command(command)
        return {"error": error} if error else {"done": command["command"]}

    async def _send(self, connection: ServerConnection, wanted: dict[str, int]) -> None:
        events = EventLogReader(self._folder.events, after=wanted.get("after", 0))
        tails = (
            _Tail(self._folder.metrics, wanted.get("metrics", 0)),
            _Tail(self._folder.system, wanted.get("system", 0)),
        )
        beat_at = 0.0
        while True:
            self._journal.changed.clear()
            ended = (
                self._journal.state.is_terminal
            )  # asked first: what is appended while we send belongs to the next round
            fresh = events.read()  # sent after the numbers, so that whoever has the last event has every number
            for number, tail in enumerate(tails):
                while chunk := tail.read():
                    await connection.send(struct.pack("<BQ", number, tail.offset) + chunk)
                    tail.offset += len(chunk)
            for event in fresh:
                await connection.send(f'{{"event": {event.model_dump_json()}}}')
            if time.monotonic() - beat_at >= HEARTBEAT_S / 2:
                beat_at = time.monotonic()
                await connection.send(json.dumps({"heartbeat": time.time()}))
            if ended:
                await connection.close()
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._journal.changed.wait(), POLL_S)

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        given = request.headers.get("Authorization", "")
        # Bytes beyond ASCII arrive as surrogates, which plain encode() would refuse.
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), f"Bearer {self._token}".encode()):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "This agent answers to the owner of the run only.\n")
        path = urlsplit(request.path).path
        if path == "/stream":
            return None
        if path.startswith("/files/"):
            return self._file(connection, unquote(path.removeprefix("/files/")), request.headers.get("Range"))
        return connection.respond(HTTPStatus.NOT_FOUND, "There is /stream and /files/.\n")

    def _file(self, connection: ServerConnection, name: str, range_header: str | None) -> Response:
        if name == "":
            return _response(HTTPStatus.OK, json.dumps(self._listing()).encode(), "application/json")
        root = self._folder.path.resolve()
        path = root if "\0" in name else (root / name).resolve()
        if not path.is_relative_to(root) or path.relative_to(root).parts[:1] not in _SHARED or not path.is_file():
            return connection.respond(HTTPStatus.NOT_FOUND, "No such file in this run.\n")
        size = path.stat().st_size
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", range_header or "bytes=0-")
        first = int(span[1]) if span else size
        if not span or (first >= size and size > 0):
            response = _response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", "text/plain")
            response.headers["Content-Range"] = f"bytes */{size}"
            return response
        last = min(int(span[2]) if span[2] else size - 1, size - 1, first + MOST_BYTES - 1)
        with path.open("rb") as file:
            file.seek(first)
            body = file.read(last - first + 1)
        response = _response(
            HTTPStatus.PARTIAL_CONTENT if len(body) < size else HTTPStatus.OK, body, "application/octet-stream"
        )
        response.headers["Content-Range"] = f"bytes {first}-{max(first, first + len(body) - 1)}/{size}"
        return response

    def _listing(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for name in SHARED:
            top = self._folder.path / name
            for path in [top] if top.is_file() else sorted(top.rglob("*")):
                inside = path.relative_to(self._folder.path)
                if path.is_file() and not any(part.startswith(".") for part in inside.parts):
                    found[inside.as_posix()] = path.stat().st_size
        return found


def _response(status: HTTPStatus, body: bytes, content_type: str) -> Response:
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Accept-Ranges": "bytes",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)


class _Tail:
    """The bytes of a metrics file that a client lacks, never beyond the last whole record."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self.offset = offset
        self._reader = MetricsReader(path)

    def read(self) -> bytes:
        self._reader.read()
        if self._reader.offset <= self.offset:
            return b""
        with self._path.open("rb") as file:
            file.seek(self.offset)
            return file.read(min(self._reader.offset - self.offset, CHUNK_BYTES))
