"""Bytes that only pass through: bodies into files, files to the owner, and the owner joined to the run's agent. Standard library only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from io import RawIOBase
from pathlib import Path

from peft_studio.runner.node.message import Request, build_head, send

PIECE_BYTES, STALL_S = 2**18, 90.0


async def send_file(path: Path | None, request: Request, writer: asyncio.StreamWriter) -> None:
    """Send a file, or the part of it that Range asks for."""
    if path is None:
        await send(writer, 404, {})
        return
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        size, tag = min(found.st_size, int(request.query.get("until", found.st_size))), f'"{found.st_ino:x}"'
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        first = int(span[1]) if span and request.headers.get("if-range", tag) == tag else 0
        last = min(int(span[2]) if span and span[2] else size - 1, size - 1)
        if first and first >= size:
            await send(writer, 416, {}, f"Content-Range: bytes */{size}")
            return
        more = (f"ETag: {tag}", f"Content-Range: bytes {first}-{last}/{size}") if span else (f"ETag: {tag}",)
        writer.write(build_head(206 if span else 200, last - first + 1, "application/octet-stream", *more))
        file.seek(first)
        left = last - first + 1
        while left and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            writer.write(piece)
            await asyncio.wait_for(writer.drain(), STALL_S)


async def splice(run: Path, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Join the owner to the run's agent; from here on neither is looked at."""
    try:
        agent = json.loads((run / "agent.json").read_text())
        theirs, ours = await asyncio.open_connection(agent["host"], agent["port"])
    except (OSError, ValueError):
        await send(writer, 503, {"error": "no agent"})
        return
    kept = [f"{name}: {value}" for name, value in request.headers.items() if name not in ("host", "authorization")]
    lines = [
        f"GET {request.target.removeprefix('/agent')} HTTP/1.1",
        "Host: agent",
        f"Authorization: Bearer {agent['token']}",
    ]
    ours.write("\r\n".join([*lines, *kept, "", ""]).encode("latin-1"))
    pumps = [asyncio.ensure_future(_pump(reader, ours)), asyncio.ensure_future(_pump(theirs, writer))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ours.close()
        for pump in pumps:
            pump.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()


async def copy(reader: asyncio.StreamReader, file: RawIOBase, size: int) -> None:
    """Write a body of so many bytes as they come. Where that fails the rest is read all the same, or the answer would not arrive."""
    trouble: OSError | None = None
    while size:
        piece = await reader.read(min(size, PIECE_BYTES))
        if not piece:
            raise EOFError
        size -= len(piece)
        try:
            while piece and trouble is None:
                piece = piece[file.write(piece) :]
        except OSError as exc:
            trouble = exc
    if trouble:
        raise trouble
