"""Nothing is lost, nothing doubled, order is kept: seeded schedules of lost replies, errors, kills between any two steps, two workers, jumping clocks."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.offline import delivery
from peft_studio.core.offline.line import Line, Outcome
from peft_studio.core.offline.outbox import Outbox
from tests.unit.core.offline.world import EVENTS, World, play

SEEDS = 2_000
QUICK = 60  # of them in `make check`: a seventh of a second each


def play_all(seeds: range, memory: Path) -> list[World]:
    """Each in an empty folder."""
    worlds = []
    for seed in seeds:
        shutil.rmtree(memory / "outbox", ignore_errors=True)
        worlds.append(play(seed, memory / "outbox"))
    return worlds


def check(worlds: list[World]) -> None:
    """The audit of each, and that there was something to survive."""
    wrong = {world.seed: found for world in worlds if (found := world.audit())}
    sent = sum(len(events) for world in worlds for events in world.remote.applied.values())
    given_up = sum(len(world.given_up) for world in worlds)  # by a person

    assert wrong == {}
    assert sent + given_up == EVENTS * len(worlds)
    assert sum(world.crashes for world in worlds) > 10 * len(worlds)
    assert sum(len(world.once_dead) for world in worlds) > 3 * len(worlds)


def test_nothing_is_lost_doubled_or_out_of_order(memory: Path) -> None:
    """A part of the schedules; the rest are in ``make stress``."""
    check(play_all(range(QUICK), memory))


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.parametrize("part", range(8))
def test_two_thousand_schedules(part: int, memory: Path) -> None:
    """All of them: 2,000 schedules of 100 events."""
    check(play_all(range(part * SEEDS // 8, (part + 1) * SEEDS // 8), memory))


# --- the harness finds what it is there to find


def _take_unmarked(self: Line, most: int) -> Any:
    taken = real_take(self, most)
    with self._outbox.file.writing() as db:
        db.executemany("UPDATE entries SET unsure = ? WHERE seq = ?", [(e.unsure, e.seq) for e in taken.entries])
    return taken


def _send_without_asking(entry: Any, sender: Any, roll: Any) -> Outcome:
    return real_send(dataclasses.replace(entry, unsure=False), sender, roll)


def _error_is_success(entry: Any, sender: Any, roll: Any) -> Outcome:
    outcome = real_send(entry, sender, roll)
    return Outcome(entry, "sent") if outcome.text == "status 500" else outcome


def _failure_is_sure(entry: Any, sender: Any, roll: Any) -> Outcome:
    outcome = real_send(entry, sender, roll)
    return dataclasses.replace(outcome, unsure=False) if outcome.end == "later" else outcome


def _go_on_after_a_failure(entries: Any, sender: Any, done: Any, **options: Any) -> list[Outcome]:
    return [outcome for entry in entries for outcome in real_send_all((entry,), sender, done, **options)]


@contextmanager
def _line_without_a_lock(outbox: Outbox, target: str) -> Iterator[Line]:
    yield Line(outbox, target)


def _settle_untouched_as_sent(self: Line, outcomes: Any) -> None:
    real_settle(self, [dataclasses.replace(o, end="sent") if o.end == "untouched" else o for o in outcomes])


def _forget_what_was_sent(self: Line, outcomes: Any) -> None:
    real_settle(self, outcomes)
    with self._outbox.file.writing() as db:
        db.execute("DELETE FROM receipts")


def _settle_first(self: Line, most: int) -> Any:
    taken = real_take(self, most)
    real_settle(self, [Outcome(entry, "sent") for entry in taken.entries[:1]])
    return taken


def _holds_nothing(self: Line, outcomes: Any) -> None:
    real_settle(self, outcomes)
    with self._outbox.file.writing() as db:
        db.execute("UPDATE entries SET holds = 0 WHERE state = 'dead'")


real_take, real_settle, real_send, real_send_all = Line.take, Line.settle, delivery._send, delivery._send_all
BUGS: dict[str, tuple[Any, str, Any, str]] = {
    "not marked before it is sent": (Line, "take", _take_unmarked, "doubled"),
    "repeated without asking": (delivery, "_send", _send_without_asking, "doubled"),
    "a failure taken for sure": (delivery, "_send", _failure_is_sure, "doubled"),
    "an error taken for success": (delivery, "_send", _error_is_success, "lost"),
    "no lock on a line": (delivery, "held_line", _line_without_a_lock, "doubled"),
    "going on after a failure": (delivery, "_send_all", _go_on_after_a_failure, "order"),
    "written down before it is sent": (Line, "take", _settle_first, "lost"),
    "the rest of a batch counted as sent": (Line, "settle", _settle_untouched_as_sent, "lost"),
    "no memory of what was sent": (Line, "settle", _forget_what_was_sent, "doubled"),
    "a refused one holds nothing": (Line, "settle", _holds_nothing, "order"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_audit_finds_planted_bugs(bug: str, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A harness that no bug can fail proves nothing: each is found, as what it is, within a few schedules."""
    where, name, planted, finding = BUGS[bug]
    monkeypatch.setattr(where, name, planted)
    for seed in range(40):
        shutil.rmtree(memory / "outbox", ignore_errors=True)
        if any(found.startswith(finding) for found in play(seed, memory / "outbox").audit()):
            return
    pytest.fail(f"40 schedules did not show it: {bug}")
