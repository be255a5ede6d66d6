"""The agent's door: an exact stream over a line that breaks at random, files by ranges, and nothing without the token."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from peft_studio.connectors.base.agent_client import Address, AgentClient, Chunk
from peft_studio.connectors.base.http import fetch_file
from peft_studio.connectors.local.connector import find_agent
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.run import Run
from tests.conftest import end_processes_of, processes_of, wait_for
from tests.unit.core.runs.conftest import build_spec
from tests.unit.runner.agent.conftest import StandInCompute

Launch = Callable[..., Run]


@pytest.fixture
def short(launch: Launch) -> Run:
    """A run that ends after two seconds of training."""
    run = launch(steps=400, pause_s=0.005)
    wait_for(lambda: read_metrics(run.folder.metrics), "the first step")
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run that trains for as long as it is looked at; tests that use it leave it as it is."""
    store, compute = RunStore(tmp_path_factory.mktemp("door") / "home"), StandInCompute()
    folder = store.create(build_spec(name=json.dumps({"steps": 100_000, "pause_s": 0.02})))
    compute.submit_job(folder)
    wait_for(lambda: read_metrics(folder.metrics), "the first step")
    yield Run(folder, store=store, compute=compute, show=lambda run: None)
    end_processes_of(store.home)
    compute.agents[0].wait(timeout=60)


@pytest.fixture
def address(run: Run) -> Address:
    return address_of(run)


def address_of(run: Run) -> Address:
    found = find_agent(run.folder)
    assert found
    return found


def get(address: Address, path: str, **headers: str) -> httpx.Response:
    known = {"Authorization": f"Bearer {address.token}"}
    return httpx.get(f"http://{address.host}:{address.port}{path}", headers={**known, **headers}, trust_env=False)


@contextmanager
def breaking_line(to: Address, *, seed: int) -> Iterator[tuple[Address, list[int]]]:
    """A line to the agent that breaks after a random number of bytes, again and again. Gives its address and the bytes each lasted."""
    draw, lasted = random.Random(seed), list[int]()
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket, most: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(4096 if most is None else max(1, min(4096, most - passed))):
                target.sendall(data)
                passed += len(data)
                if most is not None and passed >= most:
                    break
        except OSError:
            pass
        if most is not None:
            lasted.append(passed)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                agent = socket.create_connection((to.host, to.port))
            except OSError:
                client.close()
                continue
            threading.Thread(target=pump, args=(client, agent, None), daemon=True).start()
            threading.Thread(target=pump, args=(agent, client, draw.randint(500, 10_000)), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield Address("127.0.0.1", listener.getsockname()[1], to.token), lasted
    finally:
        listener.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_stream_over_a_breaking_line_is_exact(short: Run, seed: int) -> None:
    """Cut at random bytes, also in the middle of a frame: every event once and in order, and the file's bytes to the last one."""
    run = short
    with breaking_line(address_of(run), seed=seed) as (line, lasted):
        client = AgentClient(lambda: line if find_agent(run.folder) else None)
        events, chunks = [], {0: b"", 1: b""}
        for message in client.stream():
            if isinstance(message, Chunk):
                assert message.offset == len(chunks[message.file])
                chunks[message.file] += message.data
            else:
                events.append(message.seq)
    on_disk = read_events(run.folder.events)
    assert events == [event.seq for event in on_disk]
    assert on_disk[-1].type == "finished"
    assert chunks[0] == run.folder.metrics.read_bytes()
    assert run.folder.system.read_bytes().startswith(chunks[1])
    assert len(lasted) >= 3  # the line did break


def test_the_last_event_comes_before_the_end_of_the_stream(launch: Launch) -> None:
    """However the end races with a client that is being served, ``finished`` and all metrics reach it."""
    for _ in range(4):
        run = launch(steps=30)
        found = wait_for(lambda run=run: find_agent(run.folder), "the agent")
        messages = list(AgentClient(lambda found=found: found).stream())
        events = [message.seq for message in messages if not isinstance(message, Chunk)]
        assert events == [event.seq for event in read_events(run.folder.events)]
        run.wait(10)


def test_a_stream_goes_on_where_the_caller_says(run: Run, address: Address) -> None:
    """``after`` and the offsets are those of the last message the caller has."""
    client = AgentClient(lambda: address)
    stream = client.stream(after=3, metrics=20)
    chunk = next(message for message in stream if isinstance(message, Chunk) and message.file == 0)
    first = next(message for message in stream if not isinstance(message, Chunk))
    assert (first.seq, chunk.offset) == (4, 20)
    assert run.folder.metrics.read_bytes()[20:].startswith(chunk.data)


def test_several_clients_get_the_same(short: Run) -> None:
    """One client's reading takes nothing from another's."""
    run, address = short, address_of(short)
    seen: list[list[int]] = [[], [], []]

    def follow(into: list[int]) -> None:
        for message in AgentClient(lambda: address if find_agent(run.folder) else None).stream():
            if not isinstance(message, Chunk):
                into.append(message.seq)

    threads = [threading.Thread(target=follow, args=(into,)) for into in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [[event.seq for event in read_events(run.folder.events)]] * 3


@pytest.mark.parametrize("path", ["/stream", "/files/", "/files/spec.json", "/", "/nothing"])
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "bearer {token}", "Basic {token}", "{token}", "Bearer {token}x"]
)
def test_nothing_without_the_token(address: Address, path: str, header: str | None) -> None:
    """Every path answers 401 to a request whose token is missing or differs in a letter."""
    headers = {} if header is None else {"Authorization": header.format(token=address.token)}
    answer = httpx.get(f"http://{address.host}:{address.port}{path}", headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert address.token not in answer.text


def test_bytes_that_are_no_text_are_no_token(address: Address) -> None:
    """A header beyond ASCII is refused like any other."""
    with socket.create_connection((address.host, address.port)) as line:
        line.sendall(b"GET /files/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
        assert line.recv(4096).split(b"\r\n")[0].split()[1] in {b"400", b"401"}


@pytest.mark.parametrize(
    "path",
    ["agent.json", "agent.lock", "agent.log", "heartbeat", "..", "../index.sqlite", "../../index.sqlite", ".", "./", "adapter/..",
     "adapter/../agent.json", "checkpoints/../../../index.sqlite", "%2e%2e/%2e%2e/index.sqlite", "..%2f..%2findex.sqlite",
     "/etc/passwd", "//etc/passwd", "spec.json%00.txt", "%00", "nothing", "adapter", "link", "adapter/link", "spec.json/"],
)  # fmt: skip
def test_only_the_runs_own_files_are_served(run: Run, address: Address, path: str) -> None:
    """No way out of the run's folder, none to the token, none through a link."""
    run.folder.adapter.mkdir(exist_ok=True)
    for link, target in (
        (run.folder.adapter / "link", run.folder.agent),
        (run.folder.path / "link", Path("/etc/passwd")),
    ):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    with socket.create_connection((address.host, address.port)) as line:  # httpx would tidy the path up
        request = f"GET /files/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {address.token}\r\nConnection: close\r\n\r\n"
        line.sendall(request.encode())
        answer = b""
        while data := line.recv(65536):
            answer += data
    head = answer.split(b"\r\n")[0]
    assert head.split()[1] == b"404" or (path == "spec.json/" and head.split()[1] == b"200"), head
    assert address.token.encode() not in answer
    assert b"root:" not in answer


def test_files_by_ranges(run: Run, address: Address) -> None:
    """A range, an open range, the whole, and what lies beyond the end, as HTTP has them."""
    spec = run.folder.spec.read_bytes()
    part = get(address, "/files/spec.json", Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, spec[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(spec)}"
    rest = get(address, "/files/spec.json", Range=f"bytes={len(spec) - 5}-")
    assert (rest.status_code, rest.content) == (206, spec[-5:])
    assert get(address, "/files/spec.json", Range="bytes=0-999999999").content == spec
    assert get(address, "/files/spec.json").content == spec
    for bad in (f"bytes={len(spec)}-", "bytes=-5", "lines=1-2", "bytes=a-b"):
        answer = get(address, "/files/spec.json", Range=bad)
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(spec)}")


def test_the_listing_names_what_can_be_fetched(run: Run, address: Address) -> None:
    """Sizes by path; neither the token's file nor unfinished folders are in it."""
    (run.folder.checkpoints / ".aside").mkdir(parents=True, exist_ok=True)
    (run.folder.checkpoints / ".aside" / "half").write_text("x")
    listing = json.loads(get(address, "/files/").content)
    assert listing["spec.json"] == run.folder.spec.stat().st_size
    assert {name.split("/")[0] for name in listing} <= {
        "spec.json",
        "events.jsonl",
        "metrics",
        "system",
        "adapter",
        "checkpoints",
    }
    assert not any("half" in name for name in listing)


@pytest.mark.parametrize("have", [0, 1, 999_999, 9_000_000, 20_000_000, 20_000_005])
def test_a_transfer_goes_on_where_it_stopped(run: Run, address: Address, tmp_path: Path, have: int) -> None:
    """Whatever an earlier attempt left, nothing, a part, all, or more than all of it: the file arrives whole."""
    content = random.Random(5).randbytes(20_000_000)
    run.folder.adapter.mkdir(exist_ok=True)
    (run.folder.adapter / "big").write_bytes(content)
    target = tmp_path / "big"
    if have:
        target.with_name("big.part").write_bytes((content + b"older")[:have])
    fetch_file(f"http://{address.host}:{address.port}/files/adapter/big", target, token=address.token)
    assert target.read_bytes() == content
    assert not target.with_name("big.part").exists()


def test_an_empty_file_is_a_file(run: Run, address: Address, tmp_path: Path) -> None:
    """Nothing to transfer is a transfer too."""
    run.folder.adapter.mkdir(exist_ok=True)
    (run.folder.adapter / "empty").touch()
    url = f"http://{address.host}:{address.port}/files/adapter/empty"
    assert fetch_file(url, tmp_path / "empty", token=address.token).read_bytes() == b""


def test_the_token_stands_in_one_private_file_only(run: Run, address: Address) -> None:
    """Not in the command line or environment of any process, not in log or events, and agent.json is for its owner alone."""
    assert run.folder.agent.stat().st_mode & 0o777 == 0o600
    assert len(address.token) >= 32
    for process in psutil.process_iter():
        try:
            texts = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        assert not any(address.token in text for text in texts), process
    assert len(processes_of(run.folder.home)) >= 2
    for path in run.folder.path.rglob("*"):
        if path.is_file() and not path.is_symlink() and path != run.folder.agent:
            assert address.token.encode() not in path.read_bytes(), path
    assert address.token not in repr(address)
    assert address.token not in json.dumps(dict(os.environ))


def test_only_loopback_listens(run: Run, address: Address) -> None:
    """The agent's port is open on 127.0.0.1 and nowhere else."""
    agent = next(event for event in read_events(run.folder.events) if event.type == "job_started")
    listening = [c.laddr for c in psutil.Process(agent.pid).net_connections() if c.status == psutil.CONN_LISTEN]  # type: ignore[attr-defined]
    assert [(place.ip, place.port) for place in listening] == [("127.0.0.1", address.port)]


@pytest.mark.parametrize(
    "sent", ["", "nonsense", "[]", "5", "{}", '{"command": "explode"}', '{"command": null}', '{"command": ["stop"]}']
)
def test_an_unknown_command_is_answered_with_an_error(run: Run, address: Address, sent: str) -> None:
    """The line stays open and the run goes on."""
    from websockets.sync.client import connect

    headers = {"Authorization": f"Bearer {address.token}"}
    with connect(
        f"ws://{address.host}:{address.port}/stream?after=999999",
        additional_headers=headers,
        proxy=None,
        close_timeout=0.1,
    ) as line:
        for _ in range(2):
            line.send(sent)
            answers = (json.loads(raw) for raw in iter(lambda: line.recv(timeout=60), None) if isinstance(raw, str))
            assert "error" in next(answer for answer in answers if "heartbeat" not in answer)
    assert run.state == "training"


@pytest.mark.parametrize(
    "query", ["", "?after=-1", "?after=x", "?after=99999999999999999999", "?metrics=5&after=0&junk=%00"]
)
def test_odd_questions_get_a_stream(run: Run, address: Address, query: str) -> None:
    """A client's nonsense costs at most itself."""
    from websockets.sync.client import connect

    headers = {"Authorization": f"Bearer {address.token}"}
    with connect(
        f"ws://{address.host}:{address.port}/stream{query}", additional_headers=headers, proxy=None, close_timeout=0.1
    ) as line:
        assert line.recv(timeout=60)
    assert run.state == "training"
