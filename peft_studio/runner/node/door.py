"""The door of a rented machine: one port, one token, from the machine's first second to its last. Standard library only, Python 3.10 on.

It stands in the boot script word for word, because the machine has nothing of ours yet. Every request needs
``Authorization: Bearer <token>``, and one that changes something renews the lease (lease.py).

GET  /status                  phases with their seconds, the end of boot.log, what lives, what is left
GET  /upload/<name>           {"size": bytes that have arrived}
PUT  /upload/<name>?offset=n  the next bytes, at most 8 MiB; 409 with the size where n is not what has arrived
POST /upload/<name>?sha256=h  the file is whole: it stands under its name in the run's folder, or 422 and it is thrown away
POST /start?from_step=n       start the run's agent, as soon as everything is there; again is nothing. &needs=HF_TOKEN waits for that secret
POST /lease                   somebody is there
POST /over                    the owner has everything: this machine ends itself, where it can
POST /secrets                 {"HF_TOKEN": …, "HF_ENDPOINT": …} for the model's download; in this process's memory alone
GET  /files/<name>?until=n    a file of the run, up to there, by Range; /files/ lists them
GET  /digest/<name>           its size and SHA-256
GET  /agent/<rest>            the agent's own door, with its token put in
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import os
import resource
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peft_studio.runner.node.carry import copy, send_file, splice
from peft_studio.runner.node.desk import Answer, Desk, digest_of
from peft_studio.runner.node.message import Request, send

# Connections that have not shown the token. One more cuts off the oldest, so a flood keeps nobody out for long.
STRANGERS = 256
HEAD_BYTES, HEAD_S, IDLE_S = 2**14, 10.0, 60.0
BODY_S = 90.0
NOWHERE = open(os.devnull, "wb", buffering=0)  # noqa: SIM115
SHORTEST_TOKEN = 32
GIVEN = {"HF_TOKEN", "HF_ENDPOINT"}  # what /secrets takes
JUNK = (ValueError, OSError, EOFError, asyncio.LimitOverrunError, asyncio.TimeoutError)


class Door:
    """Lets the owner in, and nobody else."""

    def __init__(self, desk: Desk, token: str, tls: ssl.SSLContext | None) -> None:
        self._desk, self._token, self._tls = desk, token, tls
        self._strangers: dict[asyncio.Task[None], None] = {}  # oldest first
        self._arriving: dict[str, asyncio.Task[Any]] = {}

    async def serve(self, listener: socket.socket) -> None:
        """Accept for ever; more than can be open at once cuts off whoever has waited longest without showing the token."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:  # no more descriptors
                self._cut_off()
                await asyncio.sleep(0.02)
                continue
            if len(self._strangers) >= STRANGERS:
                self._cut_off()
            task = loop.create_task(self._meet(connection))
            self._strangers[task] = None
            task.add_done_callback(lambda done: self._strangers.pop(done, None))

    def _cut_off(self) -> None:
        if self._strangers:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.cancel()

    async def _meet(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=HEAD_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        with contextlib.suppress(*JUNK):
            for option, value in ((socket.TCP_KEEPIDLE, 20), (socket.TCP_USER_TIMEOUT, 60_000)):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            opening = loop.connect_accepted_socket(lambda: protocol, connection, ssl=self._tls)
            transport, _ = await asyncio.wait_for(opening, HEAD_S)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                await self._talk(reader, writer)
                writer.close()
                await asyncio.wait_for(writer.wait_closed(), HEAD_S)
            finally:
                transport.abort()
        connection.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wait_s = HEAD_S
        while True:
            try:
                request = Request(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), wait_s))
            except ValueError:
                await send(writer, 400, {"error": "not a request"})
                return
            given = request.headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                await send(writer, 401, {})
                return
            self._strangers.pop(asyncio.current_task(), None)  # type: ignore[arg-type]
            wait_s = IDLE_S
            if request.method == "GET" and request.path.startswith("/agent/"):
                await splice(self._desk.run, request, reader, writer)
                return
            if request.method != "GET":
                with contextlib.suppress(OSError):
                    (self._desk.base / "lease").touch()
            if request.method == "GET" and request.path.startswith("/files/") and request.path != "/files/":
                await send_file(self._desk.find(request.path.removeprefix("/files/")), request, writer)
                continue
            try:
                status, said = await self._answer(request, reader)
            except ValueError as exc:
                status, said = 400, {"error": str(exc)}
            except OSError as exc:
                status, said = 507, {"error": f"{exc.strerror}"}
            await send(writer, status, said)
            if status >= 400:  # its body may not have been read
                return

    async def _answer(self, request: Request, reader: asyncio.StreamReader) -> Answer:
        desk, (what, _, name) = self._desk, request.path[1:].partition("/")
        route = f"{request.method} {what}"
        if route == "PUT upload":
            return await self._take(name, request, reader)
        body = await asyncio.wait_for(reader.readexactly(request.size), BODY_S)
        if route == "GET status":
            return 200, desk.status()
        if route == "GET files":
            return 200, desk.list_files()
        if route == "GET digest":
            path = desk.find(name)
            if path is None:
                return 404, {}
            size, digest = await _aside(digest_of, path)
            return 200, {"size": size, "sha256": digest}
        if route == "GET upload":
            part = desk.part(name)
            return 200, {"size": part.stat().st_size if part.exists() else 0}
        if route == "POST upload":
            became: Answer = await _aside(desk.become, name, request.query.get("sha256", ""))
            return became
        if route == "POST start":
            needs = request.query.get("needs", "").split()
            if not GIVEN.issuperset(needs):
                return 400, {"error": "not a secret that a run has use for"}
            desk.want(int(request.query.get("from_step", "0")), needs)
            return 202, {}
        if route == "POST lease":
            return 200, {}
        if route == "POST over":
            (desk.base / "over").touch()
            return 200, {}
        if route == "POST secrets":
            given = json.loads(body)
            if not isinstance(given, dict) or not given.keys() <= GIVEN:
                return 400, {"error": "not a secret that a run has use for"}
            desk.secrets.update({key: str(value) for key, value in given.items()})
            return 200, {}
        return 404, {"error": "no such thing"}

    async def _take(self, name: str, request: Request, reader: asyncio.StreamReader) -> Answer:
        """Append to what has arrived of a file. What came before a line broke is kept; whoever comes last goes on."""
        part, before = self._desk.part(name), self._arriving.pop(name, None)
        if before is not None:
            before.cancel()
            await asyncio.wait([before])
        with part.open("ab", buffering=0) as file:
            if file.tell() != int(request.query.get("offset", "0")):
                # Read what came with it, or the answer would be lost.
                await asyncio.wait_for(copy(reader, NOWHERE, request.size), BODY_S)
                return 409, {"size": file.tell()}
            self._arriving[name] = task = asyncio.ensure_future(copy(reader, file, request.size))
            await asyncio.wait_for(task, BODY_S)
            self._arriving.pop(name, None)
            return 200, {"size": file.tell()}


async def _aside(work: Callable[..., Any], *given: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work, *given)


async def _start_when_due(desk: Desk) -> None:
    while True:
        with contextlib.suppress(OSError, ValueError):
            desk.start_if_due()
        await asyncio.sleep(0.1)


async def _run(desk: Desk, token: str, tls: ssl.SSLContext | None) -> None:
    with socket.create_server((os.environ["PS_BIND"], int(os.environ["PS_PORT"])), backlog=1024) as listener:
        listener.setblocking(False)
        starting = asyncio.create_task(_start_when_due(desk))
        await Door(desk, token, tls).serve(listener)
        starting.cancel()


def read_certificate(pem: bytes) -> ssl.SSLContext:
    """A server's context from a key and its certificate, which never touch the disk."""
    fd = os.memfd_create("tls")
    os.write(fd, pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(f"/proc/self/fd/{fd}")
    os.close(fd)
    return context


def main() -> None:
    """Open the door. Token and certificate come on standard input, a line each: nothing that is started from here has them."""
    token, pem, *_ = sys.stdin.read().split("\n")
    if len(token) < SHORTEST_TOKEN or (os.environ["PS_DOOR"] == "tls" and not pem):
        sys.exit("The door stays closed: it was given no token, a short one, or no certificate.")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    base = Path(os.environ["PS_DIR"])
    desk = Desk(base, base / "home" / "runs" / os.environ["PS_RUN"])
    asyncio.run(_run(desk, token, read_certificate(base64.b64decode(pem)) if pem else None))


if __name__ == "__main__":
    main()
