"""What every emulator serves with: a platform is a state and a table of routes; this puts both on loopback.

A request that no route takes, or over which a route breaks, is answered 501 and fails the block that served it.
It knows no platform. ``faulty`` is for what no server library would send; this for platforms that answer well, or late, or not at all.

    @dataclass
    class Shop(Emulated):
        goods: list[str] = field(default_factory=list)

    ROUTES: Routes[Shop] = Routes()

    @ROUTES.on("DELETE", r"/goods/([^/]+)")
    def remove(shop: Shop, request: Request, name: str) -> Reply: ...

    with serve(Shop(), ROUTES) as address: ...
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What arrived. ``target`` as it was sent, ``path`` without the query and its escapes; names of ``headers`` in any case."""

    method: str
    target: str
    headers: Message
    body: bytes
    port: int  # of this server

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def token(self) -> str:
        return str(self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def json(self) -> Any:
        return json.loads(self.body or b"null")


class HangUp(Exception):
    """Raised by a route, or by what gives the pieces of an answer: the line is closed without another byte."""


@dataclass(frozen=True)
class Reply:
    """``body``: bytes as they are; an iterator of bytes goes out in chunks; a function sends them itself, and ``Content-Length`` must be given; all else as JSON.

    A ``Content-Length`` beyond the bytes makes an answer that ends too early.
    """

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Emulated:
    """What the state of every platform has beside its own."""

    asked: list[Any] = field(default_factory=list)  # each request, as ``note`` writes it down
    unknown: list[str] = field(default_factory=list)  # what no route took, or what a route broke over
    instead: dict[str, list[Reply]] = field(default_factory=dict)  # "METHOD path" → next answers, and nothing is done
    after: dict[str, list[Reply]] = field(
        default_factory=dict
    )  # the same, once it was done: a 500 after it was applied
    lost_replies: list[str] = field(default_factory=list)  # "METHOD path" whose next answer gets lost after it was done
    held: str = ""  # "METHOD path" whose answer waits for ``release`` after it was done, and is lost; sets ``reached``
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)  # for routes that read and then change

    def note(self, request: Request) -> Any:
        """How a request stands in ``asked``."""
        return request

    def before(self, request: Request) -> Reply | None:
        """The platform's answer where no route is asked, e.g. to a wrong key; None goes on to the routes."""
        return None


S = TypeVar("S", bound=Emulated)
Route = Callable[..., Reply]


@dataclass
class Routes(Generic[S]):
    """A method and a pattern that the whole path matches → ``route(state, request, *groups)``. The first that matches answers; HEAD is a GET without its body."""

    table: list[tuple[str, re.Pattern[str], Route]] = field(default_factory=list)

    def on(self, method: str, pattern: str) -> Callable[[Route], Route]:
        def add(route: Route) -> Route:
            self.table.append((method, re.compile(pattern), route))
            return route

        return add

    def find(self, request: Request) -> tuple[Route, tuple[str | None, ...]] | None:
        methods = [request.method, *(["GET"] if request.method == "HEAD" else [])]
        for method in methods:
            for wanted, pattern, route in self.table:
                if wanted == method and (match := pattern.fullmatch(request.path)):
                    return route, match.groups()
        return None


@contextlib.contextmanager
def serve(state: S, routes: Routes[S]) -> Iterator[str]:
    """Serve on loopback and give the address. Leaving the block fails where the platform was asked what it does not know."""
    handler = type("Handler", (_Handler,), {"state": state, "routes": routes})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        state.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
    assert state.unknown == [], f"the emulator was asked what it does not know: {state.unknown}"


class _Handler(BaseHTTPRequestHandler):
    state: Emulated
    routes: Routes[Any]
    protocol_version = "HTTP/1.1"
    connection: socket.socket

    def log_message(self, format: str, *args: object) -> None:
        """The state keeps the record."""

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, self.headers, body, self.server.server_address[1])
        try:
            self._send(self._reply(request))
        except (HangUp, OSError):
            self.close_connection = True  # ours, or whoever asked has gone

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _take

    def _reply(self, request: Request) -> Reply:
        state, asked = self.state, str(request)
        state.asked.append(state.note(request))
        if state.instead.get(asked):
            return state.instead[asked].pop(0)
        reply = state.before(request) or self._routed(request)
        if asked == state.held:
            state.reached.set()
            state.release.wait(60)
            raise HangUp
        if asked in state.lost_replies:
            state.lost_replies.remove(asked)
            raise HangUp
        return state.after[asked].pop(0) if state.after.get(asked) else reply

    def _routed(self, request: Request) -> Reply:
        found = self.routes.find(request)
        if found is None:
            self.state.unknown.append(str(request))
            return Reply(501, {"error": f"the emulator has no route for {request}"})
        route, groups = found
        try:
            return route(self.state, request, *groups)
        except HangUp:
            raise
        except Exception as exc:  # noqa: BLE001 (whatever broke it, the test that asked must hear of it)
            self.state.unknown.append(f"{request}: {exc!r}")
            return Reply(501, {"error": f"the emulator broke over {request}: {exc!r}"})

    def _send(self, reply: Reply) -> None:
        body, kind = reply.body, "application/octet-stream"
        if not (isinstance(body, (bytes, Iterator)) or callable(body)):
            body, kind = json.dumps(body).encode(), "application/json; charset=utf-8"
        headers = {"Content-Type": kind, **reply.headers}
        if isinstance(body, Iterator):
            headers["Transfer-Encoding"] = "chunked"
        elif isinstance(body, bytes):
            headers.setdefault("Content-Length", str(len(body)))
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(body, headers)

    def _send_body(self, body: Any, headers: dict[str, str]) -> None:
        if isinstance(body, Iterator):
            for piece in body:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif isinstance(body, bytes):
            self.wfile.write(body)
            self.close_connection |= int(headers["Content-Length"]) > len(body)
        else:
            self.wfile.flush()
            body(self.connection)
