"""Ways to misbehave. Each makes a plan; every answer closes its connection."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Mapping
from typing import Any

from tests.emulators.faulty.server import Faulty, Plan, Request


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} x",
        *(f"{name}: {value}" for name, value in headers.items()),
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def raw(body: bytes, *, status: int = 200, effect: str = "", **headers: str) -> Plan:
    """Answer with these bytes, after having done ``effect``."""

    def plan(state: Faulty, request: Request, line: socket.socket) -> None:
        if effect:
            state.effects.append(effect)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        line.sendall(head(status, {"Content-Length": str(len(body)), **named}) + body)

    return plan


def good(value: Any, *, status: int = 200, effect: str = "", **headers: str) -> Plan:
    """Answer with JSON."""
    return raw(json.dumps(value).encode(), status=status, effect=effect, Content_Type="application/json", **headers)


def lose_reply(effect: str = "") -> Plan:
    """Do it and hang up without a word."""

    def plan(state: Faulty, request: Request, line: socket.socket) -> None:
        if effect:
            state.effects.append(effect)

    return plan


def hang() -> Plan:
    """Never answer."""
    return lambda state, request, line: state.over.wait() and None


def drip(*, every_s: float, in_head: bool) -> Plan:
    """A byte now and then, in the head or in the body, without end: slow loris."""

    def plan(state: Faulty, request: Request, line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n" if in_head else head(200, {"Content-Length": "1000000"}))
        for count in itertools.count():
            if state.over.wait(every_s):
                return
            line.sendall(f"X-{count}: y\r\n".encode() if in_head else b" ")

    return plan


def cut_short(body: bytes, *, promised: int) -> Plan:
    """Promise more bytes than come."""

    def plan(state: Faulty, request: Request, line: socket.socket) -> None:
        line.sendall(head(200, {"Content-Length": str(promised)}) + body)

    return plan


def flood(piece: bytes = b"x" * 65536) -> Plan:
    """A body without end, as fast as it goes."""

    def plan(state: Faulty, request: Request, line: socket.socket) -> None:
        line.sendall(head(200, {"Content-Type": "application/json"}))
        while not state.over.is_set():
            line.sendall(piece)

    return plan


def redirect(to: str, *, status: int = 302) -> Plan:
    """Send on to another address."""
    return raw(b"", status=status, Location=to)
