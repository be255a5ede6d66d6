"""A run as plain JSON for the browser."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.curve import Curve
from peft_studio.core.runs.failures import build_failure
from peft_studio.core.runs.metrics import Row, read_metrics
from peft_studio.core.runs.pace import Pace
from peft_studio.core.runs.state import Standing, fold
from peft_studio.core.runs.watch import current_standing
from peft_studio.widgets._view import Seen, SystemUse, build_sections, log_line
from tests.ui.write_run import RunWriter, build_spec, clock_at

NOW = 1_800_000_000.0


def view(writer: RunWriter, *, now: float = NOW, standing: Standing | None = None) -> dict[str, Any]:
    """The sections of what a writer has written."""
    from peft_studio.core.runs.log import read_events

    state = fold(read_events(writer.folder.events))
    curve, pace, system = Curve(), Pace(), SystemUse()
    rows = read_metrics(writer.folder.metrics)
    curve.add(rows)
    pace.add(rows)
    system.add(read_metrics(writer.folder.system))
    how = standing or current_standing(writer.folder, state, now=now)
    return build_sections(Seen(writer.folder, writer.spec, state, how, curve, pace, system, now))


@pytest.fixture
def training(run_folder: Path) -> RunWriter:
    """A run in its 120th step, its clock at NOW."""
    with clock_at(NOW - 4.7 - 200) as pause:
        writer = RunWriter(run_folder, build_spec())
        writer.begin(pause=pause)
        writer.train(120, pause=pause)
    return writer


def test_a_live_run_shows_where_it_is_and_how_long_still(training: RunWriter, alive_at_now: Standing) -> None:
    """Step, planned end, epoch, pace and a range for the time left."""
    seen = view(training, standing=alive_at_now)

    assert seen["head"]["state"] == "training"
    assert seen["head"]["live"] is True
    progress = seen["progress"]
    assert (progress["step"], progress["total"], progress["epochs"]) == (120, 300, pytest.approx(3.333, abs=1e-3))
    value, low, high = progress["left_s"]
    assert low <= value <= high
    assert value == pytest.approx(180 * 0.67, rel=0.1)
    assert seen["numbers"]["tokens_per_s"] == pytest.approx(1180 / 0.67, rel=0.1)
    assert seen["numbers"]["memory_peak_bytes"] >= seen["numbers"]["memory_bytes"] > 0


@pytest.fixture
def alive_at_now() -> Standing:
    return Standing("training", 1.0)


def test_phases_have_their_seconds_and_places(training: RunWriter, alive_at_now: Standing) -> None:
    """Done phases say how long they took, the current one how long it has lasted, the others nothing."""
    phases = view(training, standing=alive_at_now)["phases"]

    assert [(p["phase"], p["place"]) for p in phases] == [
        ("queued", "done"), ("loading", "done"), ("reading", "done"), ("training", "now"), ("evaluating", "todo"), ("saving", "todo"),
    ]  # fmt: skip
    assert [p["seconds"] for p in phases] == [0.4, 3.1, 1.2, 200, None, None]


def test_what_is_not_known_is_none(writer: RunWriter) -> None:
    """A run that has only been created has no plan, no loss and no memory; nothing is shown as 0 that was not measured."""
    seen = view(writer, standing=Standing("queued", 0.5))

    assert seen["progress"]["left_s"] is None
    assert seen["progress"]["epoch"] is None
    assert {
        name: seen["numbers"][name] for name in ("loss", "first_loss", "eval_loss", "tokens_per_s", "tokens")
    } == dict.fromkeys(("loss", "first_loss", "eval_loss", "tokens_per_s", "tokens"))
    assert seen["numbers"]["memory_bytes"] is None
    assert seen["facts"]["device"] is None


def test_a_failure_carries_every_way_on_as_code(training: RunWriter) -> None:
    """Each suggestion has its fields and the Python that does it."""
    failure = build_failure(
        "out_of_memory", "The GPU ran out of memory.", spec=training.spec, trace="x\n" * 40_000, step=121
    )
    training.end("failed", failure)
    shown = view(training)["failure"]

    assert shown["message"] == "The GPU ran out of memory."
    assert len(shown["trace"]) < 13_000
    first = shown["suggestions"][0]
    field, value = first["changes"][0]
    assert f"\nstudio.launch(studio.run({training.folder.id!r}).spec.replace({field}={value}" in first["code"]


def test_what_ended_a_run_is_said_once(training: RunWriter) -> None:
    """A warning that says what its failure says is not beside it; every other one is."""
    hint = build_failure("trainer_hung", "It hangs.", spec=training.spec).hint
    for code, said in (("gpu_idle", "Use it."), ("trainer_hung", hint)):
        training.log.append(ev.Warned(code=code, step=3, message="It hangs.", hint=said))
    codes = [one["code"] for one in view(training)["warnings"]]
    training.end("failed", build_failure("trainer_hung", "It hangs.", spec=training.spec))

    assert {"gpu_idle", "trainer_hung"} <= set(codes)
    assert [one["code"] for one in view(training)["warnings"]] == [one for one in codes if one != "trainer_hung"]


def test_a_full_disk_is_said_whole_and_apart_from_the_phase(training: RunWriter) -> None:
    """It is a sentence for a notice, not a word beside the name."""
    trouble = "This machine's disk is full. " + "x" * 400
    head = view(training, standing=Standing("training", 1.0, trouble=trouble))["head"]

    assert (head["trouble"], head["detail"]) == (trouble, "")


def test_files_are_those_that_are_kept_newest_first(training: RunWriter) -> None:
    """The adapter, then as many checkpoints as the spec keeps."""
    training.train(180)
    training.end("completed")
    seen = view(training)

    assert [file["name"] for file in seen["files"]] == ["adapter", "checkpoint-300", "checkpoint-250", "checkpoint-200"]
    assert seen["files"][0]["path"] == str(training.folder.path / "adapter")
    assert seen["progress"]["left_s"] is None


def test_a_lost_run_is_not_live(training: RunWriter) -> None:
    """Its numbers are of the past: no pace, no memory, and its last phase stopped counting."""
    seen = view(training, now=NOW + 3600)

    assert seen["head"]["state"] == "lost"
    assert seen["head"]["live"] is False
    assert seen["head"]["heard_s"] == pytest.approx(3600, abs=150)
    assert seen["numbers"]["memory_bytes"] is None
    assert next(p for p in seen["phases"] if p["place"] == "now")["seconds"] < 200


def test_everything_is_json_and_clean_whatever_the_run_holds(run_folder: Path) -> None:
    """Hostile names, prompts, hints and numbers: valid JSON without escapes, controls or NaN, and no message of megabytes."""
    evil = "\x1b[2J<img src=x onerror=alert(1)>\u202e" + "A" * 1_000_000
    writer = RunWriter(run_folder, build_spec(name=("\x1b[2J<b>\u202e" + "n" * 150), sample_prompts=(evil,)))
    writer.begin()
    writer.log.append(ev.Sampled(step=1, prompt=evil, text=evil))
    writer.log.append(ev.Evaluated(step=1, loss=math.nan, rows=1, duration_s=0.1))
    writer.log.append(ev.Warned(code="x", step=1, message=evil, hint=evil, changes={"tags": (evil,)}))
    writer.rows.log(1, loss=math.inf, tokens=math.nan)
    writer.end("failed", ev.Failure(code="unexpected", message=evil, hint=evil, trace=evil))

    text = json.dumps(view(writer), allow_nan=False, ensure_ascii=False)

    assert len(text) < 200_000
    assert "\\u001b" not in text
    assert "\u202e" not in text


def test_a_log_line_keeps_its_number_and_level() -> None:
    """What the page needs to put it in its place."""
    line = log_line(ev.Logged(level="warning", text="\x1b[31mrow 7 is cut", seq=12, at=NOW))

    assert line == {"seq": 12, "at": NOW, "level": "warning", "text": "row 7 is cut"}


def test_system_use_keeps_the_peak() -> None:
    """The last figures, and the highest memory there was."""
    system = SystemUse()
    system.add([Row(0, 1.0, {"rss_bytes": 5.0}), Row(0, 2.0, {"rss_bytes": 9.0}), Row(0, 3.0, {"rss_bytes": 7.0})])

    assert (system.last["rss_bytes"], system.peaks["rss_bytes"]) == (7.0, 9.0)
