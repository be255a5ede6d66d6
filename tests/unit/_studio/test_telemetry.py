"""studio.telemetry against a real server on this machine: off is nothing, on is what was shown, byte for byte, and no more than that."""

from __future__ import annotations

import getpass
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import pytest

from peft_studio import Studio
from peft_studio.connectors.base import door, patience
from peft_studio.core.errors import StudioError
from peft_studio.core.runs.failures import HINTS
from peft_studio.core.runs.state import STATES
from peft_studio.core.services import telemetry
from peft_studio.core.services.telemetry_report import Code, Report, State
from tests.conftest import wait_for
from tests.made_run import RUN_ID, write_made_run

BEGAN = 1_790_000_000.0


class Collector(ThreadingHTTPServer):
    """Keeps every request; answers with ``status``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/collect"


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
    monkeypatch.delenv("PEFT_STUDIO_OFFLINE", raising=False)
    made = Collector()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    write_made_run(tmp_path / "home")
    made = Studio(home=tmp_path / "home")
    made.telemetry._now = lambda: BEGAN + 3600.0  # an hour after the run began
    yield made
    if "_dispatcher" in vars(made):
        made._dispatcher.close()


def a_day_later(studio: Studio, monkeypatch: pytest.MonkeyPatch, days: float = 1.0) -> None:
    monkeypatch.setattr(studio.telemetry, "_now", lambda: BEGAN + 3600.0 + days * telemetry.DAY_S)


def sent(collector: Collector, studio: Studio, count: int) -> list[bytes]:
    wait_for(lambda: len(collector.asked) >= count and not len(studio.outbox), "the report")
    return [body for _, _, body in collector.asked]


def test_off_is_nothing(studio: Studio, collector: Collector) -> None:
    """Nobody has said anything: no packet, no entry in the outbox, no outbox even; looking at a report changes none of that."""
    assert not studio.telemetry.state.on
    studio.telemetry.report_if_due()
    assert json.loads(studio.telemetry.preview())["states"] == {"completed": 1}

    assert not (studio.home / "outbox").exists()
    assert "off" in repr(studio.telemetry)
    assert studio.sync().sent == 0
    assert collector.asked == []


def test_what_is_shown_is_what_is_sent(studio: Studio, collector: Collector) -> None:
    """Byte for byte; with the headers of every request of ours, without a cookie or a key; the consent has time and address."""
    shown = studio.telemetry.preview()
    assert bytes(shown).decode() in repr(shown)
    said = studio.telemetry.on(collector.url)

    assert sent(collector, studio, 1) == [bytes(shown)]
    path, headers, _ = collector.asked[0]
    assert path == "/collect"
    assert set(headers) == {"host", "user-agent", "accept", "accept-encoding", "content-type", "content-length"}
    assert (said.on, said.url) == (True, collector.url)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", said.since)
    assert Studio(home=studio.home).telemetry.state.url == collector.url


def test_at_most_one_a_day(studio: Studio, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turning it off and on again does not make it two. What is shown in between is what goes on the next day, with another id."""
    studio.telemetry.on(collector.url)
    first = sent(collector, studio, 1)[0]
    studio.telemetry.report_if_due()
    studio.telemetry.off()
    studio.telemetry.on(collector.url)
    assert len(studio.outbox) == 0
    shown = bytes(studio.telemetry.preview())

    a_day_later(studio, monkeypatch)
    studio.telemetry.report_if_due()

    assert sent(collector, studio, 2) == [first, shown]
    assert json.loads(first)["id"] != json.loads(shown)["id"]


def test_offline_it_waits_and_off_deletes_it(
    studio: Studio, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline nothing leaves, and one report waits, not one a day; withdrawn, it is gone from the outbox and never sent."""
    studio.offline = True
    studio.telemetry.on(collector.url)
    waiting = bytes(studio.telemetry.preview())
    a_day_later(studio, monkeypatch, 2.0)
    studio.telemetry.report_if_due()
    assert [entry.payload["body"].encode() for entry in studio.outbox] == [waiting]

    assert not studio.telemetry.off().on
    assert len(studio.outbox) == 0
    studio.offline = None
    studio.sync()
    assert collector.asked == []


def test_withdrawn_elsewhere_it_is_not_sent(studio: Studio, collector: Collector) -> None:
    """A report that another process has taken up is held back by the consent as it is at the moment of sending."""
    studio.offline = True
    studio.telemetry.on(collector.url)
    (studio.home / telemetry.FILE).unlink()
    studio.offline = False
    studio.sync()

    assert collector.asked == []
    assert [entry.state for entry in studio.outbox] == ["dead"]


def test_a_launch_does_not_fail_for_it(studio: Studio, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run starts whatever becomes of a report; a run's launch is what makes one due."""
    from peft_studio._studio.runs import Running

    begun = studio.run(RUN_ID)
    monkeypatch.setattr(Running, "launch", lambda self, spec, **more: begun)
    studio.telemetry.on(collector.url)
    sent(collector, studio, 1)
    a_day_later(studio, monkeypatch)
    assert studio.launch(None) is begun  # type: ignore[arg-type]
    sent(collector, studio, 2)

    a_day_later(studio, monkeypatch, 3.0)
    monkeypatch.setattr(studio.telemetry, "_queue", _refuse)
    assert studio.launch(None) is begun  # type: ignore[arg-type]
    assert len(collector.asked) == 2


def _refuse(payload: Any, entry_id: str) -> None:
    raise StudioError("no room")


@pytest.mark.parametrize(
    "url", ["http://collector.example/x", "ftp://127.0.0.1/x", "https://me:pw@collector.example/", "https://c.example/?key=1", "https://[", "x"]
)  # fmt: skip
def test_only_safe_addresses(studio: Studio, url: str) -> None:
    """TLS, or this machine; nothing secret in what is kept. What is refused changes nothing."""
    with pytest.raises(StudioError) as caught:
        studio.telemetry.on(url)
    assert caught.value.hint
    assert not studio.telemetry.state.on


def test_nothing_of_ours_is_in_a_report(studio: Studio, collector: Collector) -> None:
    """Neither the run's id, name, model or folder, nor the home, the user or the machine."""
    spec = studio.run(RUN_ID).spec
    body = bytes(studio.telemetry.preview()).decode()
    assert json.loads(body)["methods"] == {spec.method: 1}
    for word in (
        RUN_ID,
        spec.name,
        spec.model,
        str(studio.home),
        studio.home.name,
        getpass.getuser(),
        socket.gethostname(),
    ):
        assert len(word) < 4 or word not in body


def test_no_field_takes_free_text() -> None:
    """Every text that the model allows is one of a list, or the report's own id; every number is bounded."""
    schema = Report.model_json_schema()
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        for part in _leaves(field):
            closed = "enum" in part or "const" in part or (name == "id" and part["pattern"] == "^[0-9a-f]{32}$")
            assert closed or (part["type"] == "integer" and {"minimum", "maximum"} <= part.keys()), (name, part)


def test_the_report_knows_every_word_we_have() -> None:
    """A new state or failure code is counted too."""
    assert set(get_args(State)) == set(STATES)
    assert set(get_args(Code)) == set(HINTS)


def _leaves(field: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if field.get("type") == "object":
        yield from (field["propertyNames"], field["additionalProperties"])
    elif field.get("type") == "array":
        yield from field["prefixItems"]
    else:
        yield field
