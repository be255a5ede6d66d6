"""Plans on raw sockets: what no well-behaved server library would send."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """What arrived. Header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Faulty:
    """Plans by path: one is used up at each request, the last one stays. ``effects`` are what the platform has done."""

    plans: dict[str, list[Plan]] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, path: str, *plans: Plan) -> None:
        self.plans[path] = list(plans)

    def next_plan(self, path: str) -> Plan:
        with self.lock:
            waiting = self.plans[path]
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]


Plan = Callable[[Faulty, Request, socket.socket], None]


@contextlib.contextmanager
def serve_faulty(state: Faulty, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on loopback and give the address, ``http://127.0.0.1:port`` or https. Plans that wait end with the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, state, tls), daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        state.over.set()
        listener.close()


def _accept(listener: socket.socket, state: Faulty, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            line, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(line, state, tls), daemon=True).start()


def _serve(line: socket.socket, state: Faulty, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        stack.enter_context(line)
        if tls:
            line = stack.enter_context(tls.wrap_socket(line, server_side=True))
        request = _read(line)
        if request is not None:
            state.asked.append(request)
            state.next_plan(request.path.partition("?")[0])(state, request, line)


def _read(line: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = line.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
    while len(body) < int(headers.get("content-length", 0)):
        body += line.recv(65536)
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body)
