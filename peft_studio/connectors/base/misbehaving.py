"""A server that answers every request in one wrong way: what the conformance suite holds a connector against."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTML = b"<!DOCTYPE html><title>Log in</title>"

# name → status, body, headers. What is not an answer at all has no status.
FAULTS: dict[str, tuple[int | None, bytes, dict[str, str]]] = {
    "hangs up": (None, b"", {}),
    "cut short": (200, b'{"models": [', {"Content-Length": "1000"}),
    "a login page": (200, HTML, {"Content-Type": "text/html"}),
    "no JSON": (200, b'{"models": ', {}),
    "another kind of JSON": (200, b"3", {}),
    "a false content encoding": (200, b"[]", {"Content-Encoding": "gzip"}),
    "bad request": (400, b'{"error": "no"}', {}),
    "forbidden": (403, b'{"error": "no"}', {}),
    "not found": (404, b'{"error": "no"}', {}),
    "conflict": (409, b'{"error": "no"}', {}),
    "rate limited": (429, b'{"error": "slow down"}', {}),
    "rate limited for an hour": (429, b'{"error": "slow down"}', {"Retry-After": "3600"}),
    "trouble": (500, HTML, {"Content-Type": "text/html"}),
    "maintenance": (503, b"", {"Retry-After": "1"}),
    "a circle": (302, b"", {"Location": "/again"}),
}


@dataclass
class Misbehaving:
    """``fault``: the name of a fault, or an address to which everything is sent on; ``seen``: all that arrived, as text."""

    fault: str
    seen: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serve_misbehaving(state: Misbehaving) -> Iterator[str]:
    """Serve on loopback and give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Misbehaving

    def log_message(self, format: str, *args: object) -> None:
        """The state keeps the record."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.seen.append(f"{self.path} {self.headers} {body.decode('utf-8', 'replace')}")
        moved: tuple[int | None, bytes, dict[str, str]] = (307, b"", {"Location": f"{self.state.fault}/elsewhere"})
        status, answer, headers = FAULTS.get(self.state.fault, moved)
        if status is None:
            return
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET
