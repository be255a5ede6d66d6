"""Downloads against a server that misbehaves on real sockets: the file is right or not there, and what was good is not asked for again."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio.connectors.base import part as part_module
from peft_studio.connectors.base import transfer
from peft_studio.connectors.base.answer import Platform
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.patience import Limits
from peft_studio.core.errors import BadResponse, Cancelled, ConnectorError, Corrupt, NoRoom, Unavailable
from peft_studio.core.ports.download import Order, Progress
from peft_studio.core.ports.registry import ModelFile
from tests.conftest import wait_for
from tests.emulators.faulty import Faulty, serve_faulty
from tests.emulators.faulty.plans import good, head, lose_reply, raw, redirect
from tests.emulators.faulty.server import Plan, Request

KEY = "key-that-must-not-travel"
SHOP = Platform("shop", "The Shop", "https://shop.example/keys")
QUICK = Limits(connect_s=2, read_s=2, write_s=2, total_s=5, attempts=2, first_wait_s=0.001)
CONTENT = random.Random(5).randbytes(700_000)
ETAG = '"one"'


@pytest.fixture
def state() -> Faulty:
    return Faulty()


@pytest.fixture
def address(state: Faulty) -> Iterator[str]:
    with serve_faulty(state) as address:
        yield address


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.0)


def first_of(request: Request) -> int:
    """Where the asked range begins."""
    found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "bytes=0-"))
    assert found
    return int(found[1])


def whole(
    content: bytes = CONTENT, *, etag: str = ETAG, sent: int | None = None, shift: int = 0, honest: bool = True
) -> Plan:
    """Keep to ranges and If-Range; send only so many bytes; begin elsewhere than asked; or know no ranges."""

    def plan(state: Faulty, request: Request, line: socket.socket) -> None:
        first = first_of(request) if honest and request.headers.get("if-range", etag) == etag else 0
        if first > len(content):
            line.sendall(head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}))
            return
        span = "range" in request.headers and first > 0
        first = max(0, first + (shift if span else 0))
        named = {"Content-Length": str(len(content) - first), "ETag": etag}
        if span:
            named["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        rest = content[first:]
        line.sendall(head(206 if span else 200, named) + rest[: len(rest) if sent is None else sent])

    return plan


def fetch(
    address: str, folder: Path, *, content: bytes = CONTENT, stop: threading.Event | None = None, **changes: object
) -> list[Progress]:
    """Bring ``file`` from the server; gives what was told of it."""
    told: list[Progress] = []
    door = Door(SHOP, address, credentials=lambda: {"Authorization": f"Bearer {KEY}"}, limits=QUICK, pace=(1000, 1000))
    facts = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), **changes}
    file = ModelFile(path="file", **facts)  # type: ignore[arg-type]
    order = Order("model", (file,), folder, tell=told.append, stop=stop or threading.Event())
    came = transfer.fetch_files(door, order, lambda file: "/file")
    assert came.size_bytes == len(content)
    return told


def asked_spans(state: Faulty) -> list[int]:
    return [first_of(request) for request in state.asked]


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_arrives_whole(state: Faulty, address: str, tmp_path: Path) -> None:
    """Under its name and nothing else, with the progress told to its end."""
    state.plan("/file", whole())
    told = fetch(address, tmp_path / "to")

    assert (tmp_path / "to" / "file").read_bytes() == CONTENT
    assert left(tmp_path / "to") == {"file"}
    assert (told[-1].done_bytes, told[-1].total_bytes) == (len(CONTENT), len(CONTENT))
    assert state.asked[0].headers["accept-encoding"] == "identity"
    fetch(address, tmp_path / "to")
    assert len(state.asked) == 1  # it is here


def test_a_broken_line_is_taken_up_where_it_broke(state: Faulty, address: str, tmp_path: Path) -> None:
    """Within one call, as often as something comes; no byte that had come is asked for again."""
    state.plan("/file", *[whole(sent=100_000)] * 4, lose_reply(), whole())
    fetch(address, tmp_path / "to")

    assert (tmp_path / "to" / "file").read_bytes() == CONTENT
    assert asked_spans(state) == [0, 100_000, 200_000, 300_000, 400_000, 400_000]
    assert {request.headers["if-range"] for request in state.asked[1:]} == {ETAG}


def test_what_has_come_is_kept_for_the_next_call(state: Faulty, address: str, tmp_path: Path) -> None:
    """A line that brings nothing any more ends in an error that says so; the next call goes on."""
    state.plan("/file", whole(sent=300_000), lose_reply())
    with pytest.raises(Unavailable, match="What has arrived is kept"):
        fetch(address, tmp_path / "to")
    assert left(tmp_path / "to") == {".file.part", ".file.note"}

    state.plan("/file", whole())
    state.asked.clear()
    told = fetch(address, tmp_path / "to")
    assert asked_spans(state) == [300_000]
    assert told[0].done_bytes <= 300_000 < told[-1].done_bytes
    assert (tmp_path / "to" / "file").read_bytes() == CONTENT


OTHER = random.Random(6).randbytes(700_000)


@pytest.mark.parametrize(
    "then",
    [
        [whole(shift=7), whole()],
        [whole(honest=False)],
        [whole(OTHER, etag='"two"', sent=100_000), whole(etag='"three"')],
        [raw(b"x" * 400_000, status=206, Content_Range="bytes 300000-699999/700000", ETag='"two"'), whole()],
        [raw(b"", status=416), whole()],
        [raw(b"x" * 400_000, status=206), whole()],
        [raw(b"x" * 400_000, status=206, Content_Range="bytes 300000-699999/*"), whole()],
        [good({"error": "busy"}, status=503), whole()],
        [raw(b"<html>", Content_Type="text/html"), whole()],
        [raw(b"x", Content_Encoding="gzip"), whole()],
        [whole(CONTENT + b"more"), whole()],
        [whole(CONTENT[:-1]), whole()],
    ],
    ids=["wrong range", "no ranges", "changed", "changed, no If-Range", "416", "no span", "unknown size", "503", "web page", "gzip", "longer", "shorter"],
)  # fmt: skip
def test_a_wrong_answer_behind_a_part_spoils_nothing(
    then: list[Plan], state: Faulty, address: str, tmp_path: Path
) -> None:
    """300 kB are here when it comes; in the end the file is right."""
    state.plan("/file", whole(sent=300_000), *then)
    fetch(address, tmp_path / "to")

    assert (tmp_path / "to" / "file").read_bytes() == CONTENT
    assert left(tmp_path / "to") == {"file"}


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (whole(OTHER), Corrupt),
        (raw(b"<html>log in", Content_Type="text/html; charset=utf-8"), BadResponse),
        (raw(b'{"error": "x"}', Content_Type="application/json"), BadResponse),
        (raw(CONTENT, Content_Encoding="gzip"), BadResponse),
        (good({"error": "no"}, status=500), Unavailable),
    ],
    ids=["other bytes", "web page", "error body", "gzip", "500"],
)
def test_what_is_not_the_file_never_has_its_name(
    plan: Plan, error: type[ConnectorError], state: Faulty, address: str, tmp_path: Path
) -> None:
    """A typed error with a next step, and nothing that could be taken for the file."""
    state.plan("/file", plan)
    with pytest.raises(error) as caught:
        fetch(address, tmp_path / "to")

    assert caught.value.hint
    assert caught.value.platform == "shop"
    assert "file" not in left(tmp_path / "to")
    state.plan("/file", whole())
    fetch(address, tmp_path / "to")
    assert (tmp_path / "to" / "file").read_bytes() == CONTENT


def test_a_part_that_was_damaged_on_disk_is_fetched_anew(state: Faulty, address: str, tmp_path: Path) -> None:
    """As after a power cut: the digest tells, and the same call brings the file."""
    state.plan("/file", whole(sent=300_000), lose_reply())
    with pytest.raises(Unavailable):
        fetch(address, tmp_path / "to")
    part = tmp_path / "to" / ".file.part"
    part.write_bytes(b"\0" * 200_000 + part.read_bytes()[200_000:])

    state.plan("/file", whole())
    fetch(address, tmp_path / "to")
    assert (tmp_path / "to" / "file").read_bytes() == CONTENT


def test_a_part_of_another_content_is_not_gone_on_with(state: Faulty, address: str, tmp_path: Path) -> None:
    """A new version has a new digest."""
    state.plan("/file", whole(OTHER, sent=300_000), lose_reply())
    with pytest.raises(Unavailable):
        fetch(address, tmp_path / "to", content=OTHER)

    state.plan("/file", whole())
    state.asked.clear()
    fetch(address, tmp_path / "to")
    assert asked_spans(state) == [0]
    assert (tmp_path / "to" / "file").read_bytes() == CONTENT


def test_git_names_are_held_against_too(state: Faulty, address: str, tmp_path: Path) -> None:
    """Small files have no other digest."""
    blob = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    state.plan("/file", whole(OTHER), whole())
    with pytest.raises(Corrupt):
        fetch(address, tmp_path / "to", sha256=None, blob_id=blob)
    fetch(address, tmp_path / "to", sha256=None, blob_id=blob)
    assert (tmp_path / "to" / "file").read_bytes() == CONTENT


def test_keys_do_not_follow_to_another_host(state: Faulty, address: str, tmp_path: Path) -> None:
    """Nor does the range get lost on the way."""
    elsewhere = Faulty()
    with serve_faulty(elsewhere) as other:
        state.plan("/file", redirect(other.replace("127.0.0.1", "localhost") + "/stored"))
        elsewhere.plan("/stored", whole(sent=50_000), whole())
        fetch(address, tmp_path / "to")

    assert state.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert [request.headers.get("authorization") for request in elsewhere.asked] == [None, None]
    assert elsewhere.asked[1].headers["range"] == "bytes=50000-"


def test_called_off_it_stops_and_keeps(
    state: Faulty, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a body that would go on."""
    monkeypatch.setattr(part_module, "READ_BYTES", 50_000)
    stop, part = threading.Event(), tmp_path / "to" / ".file.part"

    def stopping(state: Faulty, request: Request, line: socket.socket) -> None:
        line.sendall(head(200, {"Content-Length": str(len(CONTENT)), "ETag": ETAG}) + CONTENT[:300_000])
        wait_for(lambda: part.exists() and part.stat().st_size > 200_000, "the part to grow")
        stop.set()
        line.sendall(CONTENT[300_000:400_000])
        state.over.wait()

    state.plan("/file", stopping)
    with pytest.raises(Cancelled, match="called off"):
        fetch(address, tmp_path / "to", stop=stop)
    kept = part.stat().st_size
    assert 200_000 < kept < 400_000

    state.plan("/file", whole())
    fetch(address, tmp_path / "to")
    assert asked_spans(state)[-1] == kept


def test_a_small_disk_is_said_before_anything_travels(
    state: Faulty, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both figures; a part that is here counts."""
    monkeypatch.setattr(transfer, "free_bytes", lambda folder: transfer.SPARE_BYTES + 500_000)
    state.plan("/file", whole())
    with pytest.raises(NoRoom, match=r"700 kB are still to come, 68 MB are free"):
        fetch(address, tmp_path / "to")
    assert state.asked == []

    (tmp_path / "to" / ".file.part").write_bytes(CONTENT[:300_000])
    with pytest.raises(NoRoom):  # of unknown origin: it cannot be gone on with
        fetch(address, tmp_path / "to")


def test_a_disk_that_fills_up_keeps_what_has_come(
    state: Faulty, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    state.plan("/file", whole())
    monkeypatch.setattr(part_module, "STEP_BYTES", 100_000)
    monkeypatch.setattr(part_module, "READ_BYTES", 50_000)
    monkeypatch.setattr(part_module, "_sync", full)
    with pytest.raises(NoRoom, match="is full"):
        fetch(address, tmp_path / "to")
    assert "file" not in left(tmp_path / "to")


def test_two_at_once_bring_it_once(state: Faulty, address: str, tmp_path: Path) -> None:
    """The second waits and finds it."""
    state.plan("/file", whole())
    threads = [threading.Thread(target=fetch, args=(address, tmp_path / "to")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(state.asked) == 1
    assert (tmp_path / "to" / "file").read_bytes() == CONTENT


def test_random_faults_end_well(state: Faulty, address: str, tmp_path: Path) -> None:
    """Sixty downloads through seeded faults: each ends with the right bytes, in one call or in the next, and never with others."""
    for seed in range(60):
        rng = random.Random(seed)
        faults = [
            whole(sent=rng.randrange(len(CONTENT))), whole(sent=rng.randrange(70_000)), lose_reply(), whole(shift=rng.choice((-5, 9))),
            whole(honest=False, sent=rng.randrange(len(CONTENT))), whole(OTHER, etag='"two"', sent=rng.randrange(len(CONTENT))),
            good({}, status=rng.choice((429, 500, 503))), raw(b"", status=416), raw(b"<html>", Content_Type="text/html"),
        ]  # fmt: skip
        state.plan("/file", *rng.choices(faults, k=rng.randrange(1, 9)), whole())
        folder = tmp_path / str(seed)
        for _ in range(12):
            try:
                fetch(address, folder)
            except ConnectorError:
                assert not (folder / "file").exists()
            else:
                break
        assert (folder / "file").read_bytes() == CONTENT, seed
