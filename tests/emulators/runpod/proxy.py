"""RunPod's proxy: what asks for ``/<pod>-<port>/…`` gets to that port of the machine, WebSockets too; 502 while nothing listens there."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator

FindPort = Callable[[str, int], int | None]
_HEAD = re.compile(rb"^(\w+) /([\w]+)-(\d+)(/\S*)? ")


@contextlib.contextmanager
def serve_proxy(find_port: FindPort) -> Iterator[str]:
    """Serve on loopback and give the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, find_port), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, find_port: FindPort) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_carry, args=(near, find_port), daemon=True).start()


def _carry(near: socket.socket, find_port: FindPort) -> None:
    with near, contextlib.suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head and (piece := near.recv(65536)):
            head += piece
        asked = _HEAD.match(head)
        port = find_port(asked[2].decode(), int(asked[3])) if asked else None
        if asked is None or port is None:
            _refuse(near, "404 Not Found")
            return
        try:
            far = socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            _refuse(near, "502 Bad Gateway")
            return
        with far:
            far.settimeout(None)
            # one request a connection: a second one on it could be for another pod
            first = asked[1] + b" " + (asked[4] or b"/") + b" " + head[asked.end() :]
            if b"upgrade:" not in head.lower():
                first = first.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            far.sendall(first)
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _refuse(near: socket.socket, status: str) -> None:
    near.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
