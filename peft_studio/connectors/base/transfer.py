"""Downloads of large files through the door: continued by ranges after any interruption, in constant memory, digests checked.

What a file is before it is whole is a ``part``; which files, and where they are to go, an order says.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from peft_studio.connectors.base.answer import unreadable
from peft_studio.connectors.base.door import Body, Door
from peft_studio.connectors.base.meter import Meter
from peft_studio.connectors.base.part import Part, free_bytes, is_full
from peft_studio.connectors.base.patience import backoff_s
from peft_studio.core.errors import BadResponse, Cancelled, ConnectorError, Corrupt, NoRoom, Refused, Unavailable
from peft_studio.core.ports.download import Fetched, Order
from peft_studio.core.ports.registry import ModelFile
from peft_studio.core.system import try_lock
from peft_studio.core.words import disk

TRIES = 5  # in a row that bring nothing; and so often at most is a file begun anew
FIRST_WAIT_S = 0.25
SLOW_S, SLOW_BYTES = 60.0, 64 * 2**10  # a body that brings less in that time is asked for again
SPARE_BYTES = 64 * 2**20  # a disk is not filled to its last byte
ASKED_WITH = {"Accept": "*/*", "Accept-Encoding": "identity"}
_SPAN = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def fetch_files(door: Door, order: Order, address: Callable[[ModelFile], str]) -> Fetched:
    """Bring an order's files, one after the other: one connection fills a home line, and a registry counts requests.

    Args:
        address: Where a file is asked for.

    Raises:
        ConnectorError: See :class:`peft_studio.core.ports.download.Downloads`.
    """
    with _alone(door, order):
        wanted = [file for file in order.files if not _is_here(order.to / file.path, file)]
        sizes = [file.size_bytes for file in order.files]
        meter = Meter(order, sum(size for size in sizes if size is not None) if None not in sizes else None)
        here = sum((order.to / file.path).stat().st_size for file in order.files if file not in wanted)
        meter.begin("", here_bytes=here)
        missing = sum(max(0, (file.size_bytes or 0) - _kept_bytes(order.to / file.path)) for file in wanted)
        check_room(door, order.to, missing)
        for file in wanted:
            fetch_file(door, address(file), file, order=order, meter=meter)
        meter.end()
        size = sum((order.to / file.path).stat().st_size for file in order.files)
    return Fetched(size_bytes=size, received_bytes=meter.received_bytes)


def fetch_file(door: Door, address: str, file: ModelFile, *, order: Order, meter: Meter) -> None:
    """Bring one file. It stands under its name when it is whole and its digest is right, and not before."""
    with _disk(door, order), contextlib.closing(Part(order.to / file.path, file)) as part:
        meter.begin(file.path, here_bytes=part.size)
        _bring(door, address, part, order=order, meter=meter)
        if _is_wrong(part) and part.kept_bytes:  # an earlier try's bytes may have been damaged since, as by a power cut
            meter.take_back(part.size)
            part.begin_anew()
            _bring(door, address, part, order=order, meter=meter)
        if _is_wrong(part):
            part.begin_anew()
            raise Corrupt(
                f"{door.platform.title} sent {file.path} whole, but not as the file whose digest it names. It was thrown away.",
                hint="Try again. If it stays, something between here and there changes files, or the file there is damaged.",
                platform=door.platform.name,
            )
        part.become()


def check_room(door: Door, folder: Path, needed_bytes: int) -> None:
    """Whether so much more fits on the disk of a folder.

    Raises:
        NoRoom: It does not.
    """
    free = free_bytes(folder)
    if needed_bytes and needed_bytes + SPARE_BYTES > free:
        raise NoRoom(
            f"There is no room for the download in {folder}: {disk(needed_bytes)} are still to come, {disk(free)} are free.",
            hint="Free some space, or open a studio whose home is on another disk: Studio(home=…), or PEFT_STUDIO_HOME.",
            platform=door.platform.name,
        )


def _bring(door: Door, address: str, part: Part, *, order: Order, meter: Meter) -> None:
    """Ask until all of it is there, or until several tries in a row brought nothing."""
    fruitless = 0
    while not part.is_whole:
        before = part.size
        try:
            _go_on(door, address, part, order=order, meter=meter)
        except (Unavailable, BadResponse) as exc:
            fruitless = 0 if part.size > before else fruitless + 1
            if TRIES in (fruitless, part.restarts):
                exc.hint = f"{exc.hint} What has arrived is kept: the next try goes on from there."
                raise
            if fruitless and order.stop.wait(backoff_s(fruitless, first_s=FIRST_WAIT_S)):
                raise _called_off(door) from exc


def _go_on(door: Door, address: str, part: Part, *, order: Order, meter: Meter) -> None:
    """One request for what is missing, as far as it goes."""
    headers = dict(ASKED_WITH)
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.etag.startswith('"'):  # RFC 9110, 13.1.5: a weak one must not be used for this
            headers["If-Range"] = part.etag
    try:
        with door.opened(address, headers=headers) as body:
            _begin(door, body, part, meter=meter)
            check_room(door, part.to.parent, (part.total or 0) - part.size)
            for piece in _lively(door, body.pieces):
                if order.stop.is_set():
                    raise _called_off(door)
                part.write(piece)
                meter.add(len(piece))
            if part.total is None:
                part.promise(part.size, part.etag)
    except Refused as exc:
        if exc.status != 416 or not part.size:
            raise
        meter.take_back(part.size)  # it has become shorter than what was kept of it
        part.begin_anew()


def _begin(door: Door, body: Body, part: Part, *, meter: Meter) -> None:
    """See to it that what comes belongs behind what is there, and note what the whole will be."""
    etag, span = body.headers.get("etag", ""), _SPAN.fullmatch(body.headers.get("content-range", ""))
    if body.headers.get("content-encoding", "identity") != "identity":
        raise unreadable(door.platform, "a file packed in a way that was not asked for", status=body.status)
    if body.headers.get("content-type", "").startswith("text/html") and not part.to.name.endswith(".html"):
        raise unreadable(door.platform, "a web page in place of a file", status=body.status)
    total: int | None
    if body.status == 206:
        if span is None or int(span[1]) != part.size:
            raise unreadable(door.platform, "another part of a file than was asked for", status=body.status)
        total = int(span[3])
        if part.size and (total != part.total or (part.etag and etag and etag != part.etag)):
            meter.take_back(part.size)
            part.begin_anew()
            raise unreadable(door.platform, "a file that has changed meanwhile", status=body.status)
    else:
        length = body.headers.get("content-length", "")
        total = int(length) if length.isascii() and length.isdecimal() else None
        if part.size:  # it knows no ranges, or the file has changed
            meter.take_back(part.size)
            part.begin_anew()
    promised = part.file.size_bytes
    if promised is not None and total is not None and total != promised:
        raise unreadable(
            door.platform, f"{total:,} bytes as {part.file.path}, which has {promised:,}", status=body.status
        )
    part.promise(total, etag)


def _lively(door: Door, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces, as long as they bring something: a byte a second is a broken line, too."""
    began, size = time.monotonic(), 0
    for piece in pieces:
        yield piece
        size += len(piece)
        if (now := time.monotonic()) - began > SLOW_S:
            if size < SLOW_BYTES:
                raise Unavailable(
                    f"{door.platform.title} sends next to nothing.",
                    hint="Try again in a few minutes.",
                    platform=door.platform.name,
                )
            began, size = now, 0


def _is_wrong(part: Part) -> bool:
    if part.file.sha256:
        return part.digest("sha256") != part.file.sha256
    return bool(part.file.blob_id) and part.digest("blob") != part.file.blob_id


def _is_here(path: Path, file: ModelFile) -> bool:
    """Whether a file was brought before: only what is whole and right has its name."""
    return path.is_file() and file.size_bytes in (None, path.stat().st_size)


def _kept_bytes(path: Path) -> int:
    part = path.with_name(f".{path.name}.part")
    return part.stat().st_size if part.is_file() else 0


@contextlib.contextmanager
def _alone(door: Door, order: Order) -> Iterator[None]:
    """Nobody else brings this order meanwhile; the system lets go of the lock when its holder dies."""
    order.to.mkdir(parents=True, exist_ok=True)
    with order.to.with_name(f".{order.to.name}.lock").open("a+b") as file:
        while not try_lock(file):
            if order.stop.wait(0.1):
                raise _called_off(door)
        yield


@contextlib.contextmanager
def _disk(door: Door, order: Order) -> Iterator[None]:
    """Errors of the disk as what a user can do about them."""
    try:
        yield
    except OSError as exc:
        if is_full(exc):
            raise NoRoom(
                f"The disk of {order.to} is full. What has arrived is kept.",
                hint="Free some space and try again: it goes on from there.",
                platform=door.platform.name,
            ) from exc
        raise ConnectorError(
            f"{order.to} cannot be written: {exc.strerror}.",
            hint="Look at the folder and its permissions.",
            platform=door.platform.name,
        ) from exc


def _called_off(door: Door) -> Cancelled:
    return Cancelled(
        f"The download from {door.platform.title} was called off.",
        hint="What has arrived is kept: the next try goes on from there.",
        platform=door.platform.name,
    )
