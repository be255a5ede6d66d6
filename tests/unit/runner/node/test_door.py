"""The door of a rented machine: nothing without the token, whatever is thrown at it; uploads, files and the agent with it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from peft_studio.connectors.base.node import CHUNK_BYTES, NodeClient
from peft_studio.connectors.base.wire import trust_only
from peft_studio.core.errors import ConnectorError, Corrupt, NotAuthorised, NotFound, Refused, Untrusted
from peft_studio.core.redact import Secret
from peft_studio.core.vault.certificate import make_certificate
from tests.conftest import wait_for
from tests.unit.runner.node.conftest import TOKEN, OpenDoor

Open = Callable[..., OpenDoor]


def say(door: OpenDoor, raw: bytes) -> bytes:
    """What the door answers to bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=15) as line:
        line.sendall(raw)
        said = b""
        try:
            while piece := line.recv(4096):
                said += piece
        except ConnectionResetError:
            pass
        return said


def test_every_route_wants_the_token(open_door: Open) -> None:
    """Without it, with another, with half of it: 401 and not a word more, for every route, and nothing was done."""
    door = open_door()
    (door.run / "metrics").write_bytes(b"secret numbers")
    routes = [
        "GET /status", "GET /files/", "GET /files/metrics", "GET /digest/metrics", "GET /upload/spec.json", "PUT /upload/spec.json?offset=0",
        "POST /upload/spec.json?sha256=0", "POST /start", "POST /lease", "POST /over", "POST /secrets", "GET /agent/stream", "GET /nothing",
    ]  # fmt: skip
    for route in routes:
        for given in (
            "",
            "Authorization: Bearer wrong\r\n",
            f"Authorization: Bearer {TOKEN[:-1]}\r\n",
            f"Authorization: {TOKEN}\r\n",
        ):
            said = say(door, f"{route} HTTP/1.1\r\nHost: x\r\n{given}\r\n".encode())
            head, _, body = said.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401 "), (route, given, said)
            assert body == b"{}"
    assert not (door.base / "lease").exists()
    assert not (door.base / "start").exists()
    assert not (door.base / "over").exists()
    with pytest.raises(NotAuthorised):
        door.client("x" * 43).status()


def test_junk_is_no_request(open_door: Open) -> None:
    """Bytes of all kinds end their connection and nothing else; a request with a smuggled one in it is refused whole."""
    door, draw = open_door(), random.Random(7)
    token = f"Authorization: Bearer {TOKEN}".encode()
    bad = [
        b"GET /status HTTP/1.1\r\n" + token + b"\nX: y\r\n\r\n",
        b"GET /status HTTP/1.1\r\n" + token + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT /upload/metrics HTTP/1.1\r\n" + token + b"\r\nContent-Length: 99999999999\r\n\r\n",
        b"PUT /upload/metrics HTTP/1.1\r\n" + token + b"\r\nContent-Length: -1\r\n\r\n",
        b"GET status HTTP/1.1\r\n" + token + b"\r\n\r\n",
        b"GET /status\r\n" + token + b"\r\n\r\n",
    ]
    for raw in bad:
        assert say(door, raw).startswith(b"HTTP/1.1 400 "), raw
    for size in (1, 100, 5_000, 50_000):
        said = say(door, draw.randbytes(size) + b"\r\n\r\n")
        assert b"200" not in said[:20]
    assert door.client().status().phase == "booting"


def test_a_flood_of_silent_connections_keeps_nobody_out(open_door: Open) -> None:
    """Ten thousand that say nothing or a byte: the owner is answered meanwhile, and the door's memory stays small."""
    door = open_door()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20_000), most))
    held: list[socket.socket] = []
    answered = 0
    try:
        for number in range(10_000):
            line = socket.socket()
            line.setblocking(False)
            line.connect_ex(("127.0.0.1", door.port))
            held.append(line)
            if number % 2_000 == 1_999:
                assert door.client().status().phase == "booting"
                answered += 1
    finally:
        for line in held:
            line.close()
    assert answered == 5
    assert psutil.Process(door.process.pid).memory_info().rss < 120 * 2**20
    wait_for(lambda: psutil.Process(door.process.pid).num_fds() < 50, "the door to forget them")


def test_a_slow_head_is_cut_off_and_costs_nobody_else(open_door: Open) -> None:
    """A request that does not come to its end: the line is closed, and others are answered meanwhile."""
    door = open_door(head_s=0.5)
    with socket.create_connection(("127.0.0.1", door.port), timeout=30) as line:
        line.sendall(b"GET /status HTTP/1.1\r\nAuthor")
        assert door.client().status().agent is False
        assert line.recv(100) == b""


def test_an_upload_goes_on_where_it_stopped(open_door: Open, tmp_path: Path) -> None:
    """What arrived before a line broke is not sent again; the file is in place when its digest is right."""
    door, client = open_door(), None
    content = random.Random(1).randbytes(3 * CHUNK_BYTES + 12_345)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    half = CHUNK_BYTES // 2
    head = f"PUT /upload/data/rows.jsonl?offset=0 HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {CHUNK_BYTES}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", door.port)) as line:
        line.sendall(head.encode() + content[:half])
    client = door.client()
    wait_for(lambda: client._arrived("data/rows.jsonl") == half, "the half that arrived")
    pieces: list[int] = []
    client.upload(path, "data/rows.jsonl", told=lambda: pieces.append(client._arrived("data/rows.jsonl")))
    assert pieces == [half + CHUNK_BYTES, half + 2 * CHUNK_BYTES, len(content)]
    assert (door.run / "data" / "rows.jsonl").read_bytes() == content
    client.upload(path, "data/rows.jsonl")  # again is no harm
    assert (door.base / "lease").exists()
    empty = tmp_path / "empty"
    empty.touch()
    client.upload(empty, "metrics")
    assert (door.run / "metrics").read_bytes() == b""


def test_a_file_that_arrives_changed_is_thrown_away(open_door: Open, tmp_path: Path) -> None:
    """The digest decides; nothing stands under the name."""
    door, path = open_door(), tmp_path / "spec.json"
    path.write_bytes(b"what is sent")
    part = door.base / "arriving" / hashlib.sha256(b"spec.json").hexdigest()[:32]
    part.parent.mkdir()
    part.write_bytes(b"WHAT")
    with pytest.raises(Corrupt, match=r"spec\.json"):
        door.client().upload(path, "spec.json")
    assert not (door.run / "spec.json").exists()
    door.client().upload(path, "spec.json")
    assert (door.run / "spec.json").read_bytes() == b"what is sent"


@pytest.mark.parametrize(
    "name",
    ["../x", "data/../../x", "/etc/passwd", "data/.hidden", "agent.json", "adapter/x", "data", "data//x", "data/a\\b", "package.whl/x", "data/../x", "data/a\0b"],
)  # fmt: skip
def test_only_names_that_a_run_gives_are_taken(open_door: Open, name: str) -> None:
    """No name leads out of the run's folder, or onto what is the agent's own."""
    door = open_door()
    head = f"Authorization: Bearer {TOKEN}\r\nContent-Length: 1\r\n\r\n"
    for written in (name, quote(name, safe=""), quote(name)):
        said = say(door, f"PUT /upload/{written}?offset=0 HTTP/1.1\r\n{head}x".encode())
        assert said.startswith(b"HTTP/1.1 400 "), (written, said)
        assert say(door, f"POST /upload/{written}?sha256=0 HTTP/1.1\r\n{head}x".encode()).startswith(b"HTTP/1.1 400 ")
    here = {str(found.relative_to(door.base)) for found in door.base.rglob("*") if found.is_file()}
    assert here <= {"lease"}


def test_a_name_of_the_user_arrives_as_it_is(open_door: Open, tmp_path: Path) -> None:
    """Spaces, marks and letters of any alphabet."""
    door, path = open_door(), tmp_path / "file"
    path.write_bytes(b"x")
    for name in ("data/rows/mes données #1 (50 %)?.jsonl", "model/tokenizer.json"):
        door.client().upload(path, name)
        assert (door.run / name).read_bytes() == b"x"


def test_files_are_fetched_with_their_digests(open_door: Open, tmp_path: Path) -> None:
    """Whole, resumed from a part, and again after they changed there; what is not a run's is not told of."""
    door, client = open_door(), None
    content = random.Random(2).randbytes(5_000_000)
    (door.run / "adapter").mkdir()
    (door.run / "adapter" / "adapter_model.safetensors").write_bytes(content)
    (door.run / "agent.json").write_text(json.dumps({"token": "inner"}))
    (door.run / "adapter" / "link").symlink_to("/etc/passwd")
    (door.run / "data").mkdir()
    (door.run / "data" / "rows.jsonl").write_text("{}")
    client = door.client()
    assert client.list_files() == {"adapter/adapter_model.safetensors": 5_000_000}
    client.fetch("adapter/adapter_model.safetensors", to=tmp_path / "got")
    got = tmp_path / "got" / "adapter" / "adapter_model.safetensors"
    assert got.read_bytes() == content
    (door.run / "adapter" / "adapter_model.safetensors").write_bytes(content[::-1])
    client.fetch("adapter/adapter_model.safetensors", to=tmp_path / "got")
    assert got.read_bytes() == content[::-1]
    with pytest.raises(Refused, match=r"agent\.json"):
        client.fetch("agent.json", to=tmp_path)
    for hidden in ("agent.json", "../../../etc/passwd", "adapter/link", "data/rows.jsonl", "adapter"):
        with pytest.raises(NotFound):
            client._door.get(f"/digest/{hidden.replace('..', '%2e%2e')}")


def test_one_certificate_is_trusted_and_no_other(open_door: Open) -> None:
    """Another machine's certificate, none, the world's authorities, or no TLS at all: no token is sent."""
    door = open_door(tls=True)
    assert door.client().status().phase == "booting"
    other = make_certificate(valid_s=3600).certificate
    for client in (
        NodeClient(f"127.0.0.1:{door.port}", Secret(TOKEN), certificate=other),
        NodeClient(f"127.0.0.1:{door.port}", Secret(TOKEN)),
        NodeClient(f"http://127.0.0.1:{door.port}", Secret(TOKEN)),
    ):
        with pytest.raises(ConnectorError):
            client.status()
    with pytest.raises(ConnectorError, match="unencrypted"):
        NodeClient("http://192.0.2.1:80", Secret(TOKEN)).status()
    assert trust_only(other).verify_mode == ssl.CERT_REQUIRED


def test_a_certificate_that_is_over_is_not_trusted(open_door: Open) -> None:
    """Pinned or not."""
    with pytest.raises(Untrusted):
        open_door(tls=True, valid_s=-60).client().status()


def test_no_process_has_the_token_or_the_key_in_sight(open_door: Open) -> None:
    """Neither in its command line nor in its environment, nor on the disk."""
    door = open_door(tls=True)
    assert door.certificate
    door.client().give_secret("HF_TOKEN", Secret("hf_kept_in_memory"))
    assert door.client().status().secrets == ("HF_TOKEN",)
    process = psutil.Process(door.process.pid)
    seen = f"{process.cmdline()} {process.environ()}".encode()
    seen += b"".join(path.read_bytes() for path in door.base.rglob("*") if path.is_file())
    for secret in (TOKEN, "hf_kept_in_memory", "PRIVATE KEY"):
        assert secret.encode() not in seen
    with pytest.raises(Refused):
        door.client().give_secret("LD_PRELOAD", Secret("evil.so"))


def test_a_door_that_died_is_given_its_secrets_again(open_door: Open) -> None:
    """The start that was asked for waits for them; nothing but a name of theirs is asked for."""
    door = open_door()
    door.client().give_secret("HF_TOKEN", Secret("hf_kept_in_memory"))
    door.process.kill()
    door.process.wait()
    door = open_door()
    door.client().start(from_step=3, needs=("HF_TOKEN",))
    status = door.client().status()
    assert (status.starting, status.secrets, status.wants) == (True, (), ("HF_TOKEN",))
    door.client().give_secret("HF_TOKEN", Secret("hf_kept_in_memory"))
    assert door.client().status().wants == ()
    with pytest.raises(Refused):
        door.client().start(needs=("LD_PRELOAD",))


def test_bytes_pass_to_the_agent_and_back(open_door: Open) -> None:
    """The agent sees its own token and never the owner's; without an agent the door says so."""
    door = open_door()
    ask = f"GET /agent/stream?after=3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nUpgrade: websocket\r\n\r\n".encode()
    assert say(door, ask).startswith(b"HTTP/1.1 503 ")
    with socket.create_server(("127.0.0.1", 0)) as agent:
        address = {"host": "127.0.0.1", "port": agent.getsockname()[1], "token": "the agent's"}
        (door.run / "agent.json").write_text(json.dumps(address))
        heard: list[bytes] = []

        def serve() -> None:
            line, _ = agent.accept()
            with line:
                heard.append(line.recv(4096))
                line.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + bytes(range(256)) * 4096)

        thread = threading.Thread(target=serve)
        thread.start()
        said = say(door, ask)
        thread.join(10)
    assert said.endswith(bytes(range(256)) * 4096)
    assert heard[0].startswith(b"GET /stream?after=3 HTTP/1.1\r\n")
    assert b"Bearer the agent's" in heard[0]
    assert b"upgrade: websocket" in heard[0]
    assert TOKEN.encode() not in heard[0]


def test_a_full_disk_is_said(open_door: Open, tmp_path: Path) -> None:
    """An upload that finds no room is an error with the system's words, and the door lives on."""
    door, path = open_door(), tmp_path / "spec.json"
    path.write_bytes(b"x")
    (door.base / "arriving").mkdir()
    part = door.base / "arriving" / hashlib.sha256(b"spec.json").hexdigest()[:32]
    part.symlink_to("/dev/full")
    with pytest.raises(ConnectorError, match="No space left"):
        door.client().upload(path, "spec.json")
    part.unlink()
    door.client().upload(path, "spec.json")
    assert os.listdir(door.run) == ["spec.json"]
