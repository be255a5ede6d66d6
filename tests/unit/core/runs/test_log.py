"""The event log: numbered without gaps, readable while it grows, whole after a kill at any byte."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import EventLogReader, EventLogWriter, read_events


def write_three(path: Path) -> list[int]:
    """Three events; returns the size of the file after each."""
    log = EventLogWriter(path)
    sizes = []
    for event in (ev.Created(name="α → β"), ev.JobStarted(pid=7), ev.Logged(level="info", text='a "quoted"\nline')):
        log.append(event)
        sizes.append(path.stat().st_size)
    log.close()
    return sizes


def test_numbers_times_and_jobs_are_given(tmp_path: Path) -> None:
    """Events count from 1 without gaps, over writers too, and carry the job that wrote them."""
    path = tmp_path / "events.jsonl"
    write_three(path)
    second = EventLogWriter(path, job=2)
    second.append(ev.PhaseEntered(phase="queued"))

    events = read_events(path)

    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.job for event in events] == [1, 1, 1, 2]
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[0].time.utcoffset() is not None
    assert [type(event) for event in events] == [ev.Created, ev.JobStarted, ev.Logged, ev.PhaseEntered]
    assert events[2].text == 'a "quoted"\nline'  # type: ignore[attr-defined]


def test_a_last_line_torn_at_every_byte_is_passed_over_and_cut_off(tmp_path: Path) -> None:
    """However little of the last line a kill left, readers see the events before it and the next writer goes on cleanly."""
    path = tmp_path / "events.jsonl"
    sizes = write_three(path)
    whole = path.read_bytes()
    for cut in range(sizes[1], sizes[2]):
        path.write_bytes(whole[:cut])
        assert [event.seq for event in read_events(path)] == [1, 2], cut
        log = EventLogWriter(path, job=2)
        log.append(ev.PhaseEntered(phase="loading"))
        log.close()
        events = read_events(path)
        assert [(event.seq, event.type) for event in events][2:] == [(3, "phase")], cut
        assert path.read_bytes().startswith(whole[: sizes[1]])


def test_two_readers_follow_independently(tmp_path: Path) -> None:
    """Each reader gets every event once, whatever the other has read, and half a line only when it is whole."""
    path = tmp_path / "events.jsonl"
    early, late = EventLogReader(path), EventLogReader(path, after=2)
    assert early.read() == []  # the file is not there yet
    sizes = write_three(path)
    whole = path.read_bytes()

    path.write_bytes(whole[: sizes[1] + 5])
    assert [event.seq for event in early.read()] == [1, 2]
    assert late.read() == []
    path.write_bytes(whole)
    assert [event.seq for event in early.read()] == [3]
    assert early.read() == []
    assert [event.seq for event in late.read()] == [3]


def test_an_event_of_a_newer_version_is_read_as_a_plain_event(tmp_path: Path) -> None:
    """Unknown types and unknown fields neither stop a reader nor are lost from the numbering."""
    path = tmp_path / "events.jsonl"
    write_three(path)
    with path.open("a") as file:
        file.write(json.dumps({"type": "teleported", "seq": 4, "at": 5.0, "job": 1, "to": "the moon"}) + "\n")
        file.write(
            json.dumps({"type": "phase", "seq": 5, "at": 6.0, "job": 1, "phase": "loading", "colour": "red"}) + "\n"
        )

    events = read_events(path, after=3)

    assert [(type(event), event.type, event.seq) for event in events] == [
        (ev.Event, "teleported", 4),
        (ev.PhaseEntered, "phase", 5),
    ]
    assert EventLogWriter(path).append(ev.Created()).seq == 6


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_survives_the_log(tmp_path: Path, loss: float) -> None:
    """NaN is a fact about a run; an event that carries it must be readable ever after."""
    path = tmp_path / "events.jsonl"
    EventLogWriter(path).append(ev.Evaluated(step=3, loss=loss, rows=2, duration_s=0.1))

    (event,) = read_events(path)

    assert isinstance(event, ev.Evaluated)
    assert str(event.loss) == str(loss)
    json.loads(path.read_text(), parse_constant=pytest.fail)  # strict JSON, which a browser can read


def test_the_log_is_private(tmp_path: Path) -> None:
    """Logs may quote training rows, so only their owner reads them."""
    path = tmp_path / "events.jsonl"
    write_three(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_never_leaves_half_a_line(tmp_path: Path) -> None:
    """The system takes as much of a line as fits; that part must go again, or the next line would be glued to it."""
    path = tmp_path / "events.jsonl"
    code = f"""
import resource, sys
from pathlib import Path
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import EventLogWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))
log = EventLogWriter(Path({str(path)!r}))
written = 0
try:
    while True:
        log.append(ev.Logged(level="info", text="x" * 100)); written += 1
except OSError as exc:
    print(written)
resource.setrlimit(resource.RLIMIT_FSIZE, ({resource.RLIM_INFINITY}, {resource.RLIM_INFINITY}))
log.append(ev.Logged(level="info", text="after"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    written = int(done.stdout)
    assert written >= 3
    assert [event.seq for event in read_events(path)] == list(range(1, written + 2))
    assert os.stat(path).st_size > 1000
