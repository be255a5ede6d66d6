"""HTTP as far as the door needs it: a request's head, strictly read, and answers. Standard library only."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BODY_BYTES = 8 * 2**20
SEND_S = 60.0


class Request:
    """A request's head. ``size`` is how long its body is."""

    def __init__(self, head: bytes) -> None:
        if any(end in head.replace(b"\r\n", b"") for end in (b"\r", b"\n")):
            raise ValueError("a bare line end")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.method, self.target, version = first.split(" ")
        if not version.startswith("HTTP/1.") or not self.target.startswith("/"):
            raise ValueError("not HTTP")
        self.headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        parts = urlsplit(self.target)
        self.path = unquote(parts.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.size = int(self.headers.get("content-length", "0"))
        if "transfer-encoding" in self.headers or not 0 <= self.size <= BODY_BYTES:
            raise ValueError("a body without a length, or too long")


def build_head(status: int, size: int, kind: str, *more: str) -> bytes:
    """An answer's head, with these lines more."""
    word = "OK" if status < 400 else "No"
    lines = (f"HTTP/1.1 {status} {word}", f"Content-Length: {size}", f"Content-Type: {kind}", *more)
    return "\r\n".join([*lines, "", ""]).encode()


async def send(writer: asyncio.StreamWriter, status: int, said: dict[str, Any], *more: str) -> None:
    """Send a whole answer."""
    body = json.dumps(said).encode()
    writer.write(build_head(status, len(body), "application/json", *more) + body)
    await asyncio.wait_for(writer.drain(), SEND_S)
