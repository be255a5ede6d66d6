"""The outbox in words: what a person reads, and that nothing in it can become markup or move a cursor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from peft_studio.core.errors import OutboxError
from peft_studio.core.offline.delivery import Delivered, deliver_line
from peft_studio.core.offline.entry import Operation
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.offline.sender import SendLater, SendRefused
from peft_studio.core.services.sync import OutboxView, Synced, summarise
from tests.unit.core.offline.conftest import KEY, Clock, Obedient


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(tmp_path: Path, clock: Clock) -> Outbox:
    """An upload that failed, a log that waits behind it, one that was refused."""
    made = Outbox(tmp_path / "outbox", key=KEY, now=clock)
    made.put("hub:a", "upload", 1, id="e1")
    made.put("hub:a", "log", 2, id="e2")
    made.put("wandb:r", "log", 3, id="e3")
    deliver_line(made, "hub:a", Obedient(SendLater("status 500", hint="wait")), roll=lambda: 0.0)
    deliver_line(made, "wandb:r", Obedient(SendRefused("<b>no</b> such\x1b[2J project")))
    return made


@pytest.mark.parametrize(
    ("counts", "offline", "expected"),
    [
        ({}, False, "Nothing waits."),
        ({("a", "upload", "waiting"): 1}, True, "1 upload waits for the network."),
        ({("a", "upload", "waiting"): 1, ("b", "upload", "waiting"): 1}, "on a plane", "2 uploads wait for the network."),
        ({("a", "upload", "waiting"): 1, ("b", "log", "waiting"): 1200}, False, "1 upload and 1,200 logs wait to be sent."),
        ({("a", "log", "dead"): 1}, False, "1 log was refused; see studio.outbox."),
        (
            {("a", "log", "dead"): 2, ("a", "a", "waiting"): 1, ("a", "b", "waiting"): 1, ("a", "c", "waiting"): 2},
            False, "1 a, 1 b and 2 cs wait to be sent. 2 logs were refused; see studio.outbox.",
        ),
    ],
)  # fmt: skip
def test_a_sentence_says_what_waits(counts: dict, offline: bool | str, expected: str) -> None:  # type: ignore[type-arg]
    """How many of what, for what, and what needs a person."""
    assert summarise(counts, offline) == expected


def test_the_table(outbox: Outbox, clock: Clock) -> None:
    """State, age, reason and the next try, as text and as markup."""
    clock.now += 0.5
    view = OutboxView(outbox, False, now=clock)
    lines = repr(view).splitlines()

    assert lines[0] == "1 upload and 1 log wait to be sent. 1 log was refused; see studio.outbox."
    assert re.split(r"\s{2,}", lines[3]) == [
        "e1",
        "hub:a",
        "upload",
        "tried 1×",
        "0 s ago",
        "status 500 → wait; again in 1 s",
    ]
    assert lines[4].split() == ["e2", "hub:a", "log", "waits", "0", "s", "ago"]
    assert "<b>no</b> such<U+001B>[2J project" in lines[5]
    assert "&lt;b&gt;no&lt;/b&gt;" in view._repr_html_()
    assert "\x1b" not in repr(view) + view._repr_html_()
    assert [entry.id for entry in view] == ["e1", "e2", "e3"]


def test_a_long_one_shows_what_comes_first_and_what_was_refused(outbox: Outbox) -> None:
    """The rest is counted."""
    outbox.put_all([Operation("hub:a", "log", n) for n in range(250)])
    outbox.put("wandb:r", "log", "late", id="e9")
    deliver_line(outbox, "wandb:r", Obedient(SendRefused("no")))
    view = OutboxView(outbox, False)

    assert len(view) == 102
    assert (view[0].id, view[-1].id) == ("e1", "e9")
    assert repr(view).endswith("… and 152 more.")
    assert view._repr_html_().count("<tr>") == 103


def test_repairs(outbox: Outbox, clock: Clock) -> None:
    """From the view itself."""
    view = OutboxView(outbox, False, now=clock)
    with pytest.raises(OutboxError):
        view.edit("e1", 5)
    view.edit("e3", 4)
    view.drop("e2")
    view.retry("e1")

    assert [(e.id, e.payload, e.left_s(clock())) for e in OutboxView(outbox, False)] == [("e1", 1, 0.0), ("e3", 4, 0.0)]
    assert [(r.id, r.was_sent) for r in view.sent()] == [("e2", False)]


def test_what_a_sync_came_to(outbox: Outbox) -> None:
    """What went, what is left and why; offline only that."""
    lines = [Delivered("hub:a", sent=2, why="status 500\n  → wait", left_s=90.0), Delivered("hub:b", sent=1)]
    done = Synced(lines, outbox.counts(), False)

    assert (done.sent, done.left, len(done), done[1].target) == (3, 3, 2, "hub:b")
    assert repr(done).splitlines() == [
        "3 sent. 1 upload and 1 log wait to be sent. 1 log was refused; see studio.outbox.",
        "  hub:a: status 500 → wait; again in 1 m 30 s",
    ]
    assert repr(Synced([], outbox.counts(), "on a plane")).startswith(
        "0 sent. 1 upload and 1 log wait for the network."
    )
    assert "<p>3 sent." in done._repr_html_()


def test_an_empty_one(tmp_path: Path) -> None:
    """It says so."""
    view = OutboxView(Outbox(tmp_path / "outbox", key=KEY), True)

    assert (repr(view), len(view)) == ("Nothing waits.", 0)
    assert "Nothing waits." in view._repr_html_()
