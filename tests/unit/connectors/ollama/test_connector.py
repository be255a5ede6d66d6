"""The Ollama connector against a daemon on loopback, which Ollama's own client accepts too."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from peft_studio.connectors.ollama.api import OllamaApi, build_address
from peft_studio.connectors.ollama.connector import Ollama
from peft_studio.core.errors import BadResponse, NotFound, Refused, Unavailable
from peft_studio.core.ports import Query
from peft_studio.core.redact import Secret
from tests.emulators.faulty import Faulty, serve_faulty
from tests.emulators.faulty.plans import good
from tests.emulators.ollama import Daemon, Local, serve_ollama
from tests.specs import check_answer, check_request, load_spec


@pytest.fixture
def daemon() -> Daemon:
    return Daemon(
        models=[
            Local("smollm2:135m", size=91_000_000),
            Local("gemma:2b", family="gemma", parameter_size="2.5B", parameters=2_506_172_416, license="Gemma Terms of Use\n\nLast modified", modified_at="2026-05-01T00:00:00Z"),
            Local("glm:cloud", more={"remote_host": "https://ollama.com:443", "remote_model": "glm"}),
            Local("me/odd:latest", parameter_size="", quantization_level="", license="", modified_at="never"),
        ],
        registry=[Local("tiny:1m", size=4000)],
    )  # fmt: skip


@pytest.fixture
def address(daemon: Daemon) -> Iterator[str]:
    with serve_ollama(daemon) as address:
        yield address
    assert daemon.unknown == []


@pytest.fixture
def ollama(address: str) -> Ollama:
    return Ollama({"host": Secret(address)})


def test_the_official_client_works_against_the_emulator(address: str, daemon: Daemon) -> None:
    """List, show, a pull, an error inside a stream, a model that is not there: by ollama's own package."""
    client = pytest.importorskip("ollama").Client(host=address)
    del daemon.models[3]  # its client reads no such time

    assert [model.model for model in client.list().models] == [model.name for model in daemon.models]
    shown = client.show("smollm2:135m")
    assert shown.modelinfo["general.parameter_count"] == 134_515_008
    assert [event.status for event in client.pull("tiny:1m", stream=True)][-1] == "success"
    with pytest.raises(Exception, match="does not exist"):
        list(client.pull("nothing", stream=True))
    with pytest.raises(Exception, match="not found"):
        client.show("nothing")


def test_requests_and_emulated_answers_are_as_the_vendor_says(ollama: Ollama, daemon: Daemon) -> None:
    """Against Ollama's own openapi.yaml; it leaves nothing out of what is used here."""
    spec = load_spec("ollama.yaml")
    ollama.connect()
    ollama.search(Query())
    ollama.get_model("smollm2:135m")
    list(ollama._api.pull("tiny:1m"))

    assert {path for _, path, _ in daemon.asked} == {"/api/version", "/api/tags", "/api/show", "/api/pull"}
    for method, path, body in daemon.asked:
        check_request(spec, method, path, body)
    for path, body in daemon.answered:
        check_answer(spec, "POST" if path == "/api/show" else "GET", path, body)


def test_connect_says_which_daemon(ollama: Ollama, address: str) -> None:
    """Address and version; no key is involved."""
    found = ollama.connect()
    assert (found.name, found.kind, found.note) == (address, "daemon", "Ollama 0.12.6")


def test_search_is_by_name_among_what_is_here(ollama: Ollama) -> None:
    """Newest first; what lives elsewhere is left out; what is not said is None."""
    gemma, smol, odd = ollama.search(Query()).models

    assert (smol.id, smol.parameters, smol.size_bytes, smol.quantisation, smol.format) == (
        "smollm2:135m",
        135_000_000,
        91_000_000,
        "Q4_K_M",
        "gguf",
    )
    assert smol.updated_at is not None
    assert abs(smol.updated_at - datetime(2026, 3, 4, 12, 6, 7, tzinfo=UTC)) < timedelta(seconds=1)
    assert gemma.parameters == 2_500_000_000
    assert (odd.parameters, odd.quantisation, odd.updated_at, odd.author) == (None, None, None, "me")
    assert [model.id for model in ollama.search(Query(text="SMOL 135")).models] == ["smollm2:135m"]
    assert ollama.search(Query(text="nothing")).models == ()


def test_details_are_exact(ollama: Ollama) -> None:
    """The number of parameters is counted, the licence has its short name, or its first line."""
    gemma, odd = ollama.get_model("gemma:2b").model, ollama.get_model("me/odd:latest").model

    assert (gemma.parameters, gemma.licence, gemma.task) == (2_506_172_416, "gemma", "text-generation")
    assert ollama.get_model("smollm2:135m").model.licence == "apache-2.0"
    assert odd.licence is None
    with pytest.raises(NotFound, match="'nothing' not found") as caught:
        ollama.get_model("nothing")
    assert "ollama pull" in caught.value.hint


def test_an_error_inside_a_stream_is_an_error(address: str, daemon: Daemon) -> None:
    """Though the answer began with 200: after progress, at once, and where the stream just ends."""
    api = OllamaApi(address)
    daemon.breaks_after = 2000
    seen: list[object] = []

    with pytest.raises(Refused, match="max retries exceeded"):
        seen.extend(api.pull("tiny:1m"))
    with pytest.raises(NotFound, match="does not exist"):
        list(api.pull("nothing"))
    daemon.breaks_after, daemon.hangs_up_after = None, 3
    with pytest.raises(BadResponse, match="cut short"):
        list(api.pull("tiny:1m"))
    daemon.hangs_up_after = None

    assert [event["status"] for event in api.pull("tiny:1m")][-1] == "success"


def test_a_stream_that_ends_before_it_is_done_is_an_error() -> None:
    """Whole lines, no error, and no success: something went wrong that nobody reported."""
    state = Faulty()
    state.plan("/api/pull", good({"status": "pulling manifest"}))
    with serve_faulty(state) as address, pytest.raises(BadResponse, match="before it is done"):
        list(OllamaApi(address).pull("tiny:1m"))


def test_no_daemon_says_how_to_start_it() -> None:
    """The error names the address that was asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        Ollama({"host": Secret(address)}).connect()
    assert "ollama serve" in caught.value.hint
    assert address in caught.value.hint


def test_something_else_on_its_port_is_told_apart() -> None:
    """JSON of another program is no daemon."""
    state = Faulty()
    state.plan("/api/version", good({"name": "jupyter"}))
    with serve_faulty(state) as address, pytest.raises(BadResponse, match="something else listens there"):
        Ollama({"host": Secret(address)}).connect()


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", "http://127.0.0.1:11434"), ("0.0.0.0", "http://127.0.0.1:11434"), ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("box", "http://box:11434"), ("box:1/", "http://box:1"), ("https://box", "https://box:443"), ("http://box", "http://box:80"),
        ("http://box:9/", "http://box:9"), ("[::1]", "http://[::1]:11434"), ("[::1]:7", "http://[::1]:7"), ("http://[::]:7", "http://127.0.0.1:7"),
    ],
)  # fmt: skip
def test_addresses_as_ollama_reads_them(given: str, address: str) -> None:
    """Scheme and port may be missing."""
    assert build_address(given) == address
