"""Sending by itself: after a put, after a wait, when the network is back; and by hand, with what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from peft_studio.core.offline.connectivity import Connectivity
from peft_studio.core.offline.dispatcher import LINES, LOOK_S, Dispatcher
from peft_studio.core.offline.line import held_line
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.offline.sender import Sender, SendLater
from tests.conftest import wait_for
from tests.unit.core.offline.conftest import KEY, Clock, Obedient

Begin = Callable[..., Dispatcher]


@pytest.fixture
def net() -> Connectivity:
    return Connectivity([lambda: False])


@pytest.fixture
def begin(outbox: Outbox, net: Connectivity) -> Iterator[Begin]:
    """Dispatchers, which are closed after the test."""
    made: list[Dispatcher] = []

    def _begin(senders: dict[str, Any], *, started: bool = True) -> Dispatcher:
        def find(target: str) -> Sender | None:
            found: Sender | None = senders.get(target)
            return found

        made.append(Dispatcher(outbox, find, net))
        if started:
            made[-1].start()
        return made[-1]

    yield _begin
    for one in made:
        one.close()


def empty(outbox: Outbox) -> Any:
    return wait_for(lambda: not outbox.entries(), "an empty outbox")


def test_what_is_put_in_goes_out_by_itself(outbox: Outbox, begin: Begin) -> None:
    """What was there before, and what comes after."""
    outbox.put("hub:a", "log", 1)
    sender = Obedient()
    begin({"hub:a": sender})
    empty(outbox)
    outbox.put("hub:a", "log", 2)
    empty(outbox)

    assert sender.payloads == [1, 2]


def test_a_hung_target_holds_no_other(outbox: Outbox, begin: Begin) -> None:
    """The others are sent, in the background and by hand."""
    go_on, hung, other = threading.Event(), Obedient(), Obedient()
    hung.before = go_on.wait
    outbox.put("hub:a", "log", 1)
    outbox.put("hub:b", "log", 2)
    dispatcher = begin({"hub:a": hung, "hub:b": other})
    wait_for(lambda: other.sent, "the other target")
    outbox.put("hub:b", "log", 3)
    done = {one.target: one.why for one in dispatcher.sync(timeout_s=2)}
    go_on.set()
    empty(outbox)

    assert done["hub:a"] == "is still being sent"
    assert other.payloads == [2, 3]
    assert hung.payloads == [1]


def test_by_hand_it_says_what_came_of_each(outbox: Outbox, begin: Begin) -> None:
    """Sent, failed, told to wait, not connected, held by another process."""
    for target in ("a", "b", "c", "d", "e"):
        outbox.put(target, "log", 1)
    told = Obedient(SendLater("status 429", retry_after_s=3600.0))
    dispatcher = begin(
        {"a": Obedient(), "b": Obedient(SendLater("status 500")), "c": told, "e": Obedient()}, started=False
    )
    with held_line(Outbox(outbox.folder, key=KEY), "e"):
        done = {one.target: one for one in dispatcher.sync()}
    again = {one.target: one for one in dispatcher.sync()}

    assert (done["a"].sent, done["a"].why) == (1, "")
    assert (done["b"].why, done["b"].left_s > 0) == ("status 500", True)
    assert (done["d"].why, done["e"].why) == ("is not connected", "is being sent already")
    assert (again["b"].sent, again["e"].sent) == (1, 1)
    assert again["c"].left_s > 3500
    assert len(told.sent) == 1


def test_more_targets_than_lines(outbox: Outbox, begin: Begin) -> None:
    """All have their turn."""
    senders = {f"hub:{n}": Obedient() for n in range(3 * LINES)}
    for target in senders:
        outbox.put(target, "log", target)
    done = begin(senders, started=False).sync()

    assert sum(one.sent for one in done) == 3 * LINES
    assert outbox.entries() == []


def test_it_goes_on_when_the_network_is_back(outbox: Outbox, begin: Begin, net: Connectivity, clock: Clock) -> None:
    """What failed for want of it does not wait for the end of its wait; what was told to wait does."""
    outbox.put("hub:a", "log", 1)
    outbox.put("hub:b", "log", 2)
    sender = Obedient(SendLater("no route", unreachable=True))
    told = Obedient(SendLater("429", retry_after_s=3600.0))
    begin({"hub:a": sender, "hub:b": told})
    wait_for(lambda: all(e.tries for e in outbox.entries()), "the first tries")
    net.report("a.org", reached=False)
    net.report("b.org", reached=False)
    assert net.offline
    net.report("a.org", reached=True)

    wait_for(lambda: len(outbox.entries()) == 1, "the second try")

    assert (sender.payloads, told.payloads) == ([1, 1], [2])


def test_offline_nothing_is_tried(outbox: Outbox, begin: Begin, net: Connectivity) -> None:
    """By itself or by hand; afterwards all of it goes."""
    net.set("on a plane")
    sender = Obedient()
    dispatcher = begin({"hub:a": sender})
    outbox.put("hub:a", "log", 1)

    assert dispatcher.sync() == []
    assert (sender.sent, len(outbox.entries())) == ([], 1)
    net.set(None)
    empty(outbox)
    assert sender.payloads == [1]


def test_two_dispatchers_double_nothing(outbox: Outbox, net: Connectivity, begin: Begin) -> None:
    """As two notebooks on one home have."""
    sender = Obedient()
    begin({"hub:a": sender, "hub:b": sender})
    other = Outbox(outbox.folder, key=KEY)
    second = Dispatcher(other, lambda target: sender, net)
    second.start()
    for n in range(100):
        (outbox if n % 2 else other).put(f"hub:{'ab'[n % 2]}", "log", n)
        if n % 10 == 0:
            second.sync()
    empty(outbox)
    second.close()
    other.file.close()

    assert sorted(sender.payloads) == list(range(100))
    for half in (0, 1):
        assert [n for n in sender.payloads if n % 2 == half] == list(range(half, 100, 2))


def test_an_outbox_that_fails_ends_no_thread(outbox: Outbox, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room is said by sync; the next put is sent."""
    sender = Obedient()
    dispatcher = begin({"hub:a": sender}, started=False)
    outbox.put("hub:a", "log", 1)
    (outbox.folder / "lines").write_text("a file where the folder should be")
    said = dispatcher.sync()[0].why
    (outbox.folder / "lines").unlink()

    assert "File exists" in said
    assert dispatcher.sync()[0].sent == 1


def test_closed_it_begins_nothing_more(outbox: Outbox, begin: Begin) -> None:
    """What is under way is ended; what is left is there."""
    dispatcher = begin({"hub:a": Obedient()})
    dispatcher.close()
    dispatcher.close()
    outbox.put("hub:a", "log", 1)

    assert dispatcher.sync()[0].why == "this studio is closed"
    assert len(outbox.entries()) == 1


def test_it_sleeps_while_nothing_is_due(outbox: Outbox, begin: Begin, net: Connectivity, clock: Clock) -> None:
    """Empty, not connected, held, waiting, offline: it wakes when that may end, and not before."""
    sender = Obedient(SendLater("429", retry_after_s=30.0))
    dispatcher = begin({"hub:a": sender}, started=False)
    assert dispatcher._turn() == LOOK_S
    outbox.put("wandb:r", "log", 1)
    dispatcher._turn()
    assert 0.9 * LOOK_S < dispatcher._turn() <= LOOK_S
    outbox.put("hub:a", "log", 1)
    dispatcher.sync()
    assert 30.0 <= dispatcher._turn() <= 33.0
    net.set("on a plane")
    assert dispatcher._turn() == LOOK_S
    net.set(None)
    net.report("a.org", reached=False)
    net.report("b.org", reached=False)
    assert 0 < dispatcher._turn() <= 5.0
    assert len(sender.sent) == 1


def test_what_cannot_be_sent_is_not_tried_all_the_time(outbox: Outbox, net: Connectivity) -> None:
    """Held by another process, or not connected: once a minute, or when something was put in."""
    asked: list[str] = []

    def find(target: str) -> Sender | None:
        asked.append(target)
        return Obedient() if target == "hub:a" else None

    outbox.put("hub:a", "log", 1)
    outbox.put("wandb:r", "log", 1)
    dispatcher = Dispatcher(outbox, find, net)
    with held_line(Outbox(outbox.folder, key=KEY), "hub:a"):
        for _ in range(3):
            dispatcher._turn()
            wait_for(lambda: not dispatcher._working, "the line to be left")
        assert asked == ["hub:a", "wandb:r"]
    outbox.put("wandb:r", "log", 2)
    dispatcher._turn()
    wait_for(lambda: not dispatcher._working, "the line to be sent")

    assert asked == ["hub:a", "wandb:r"] * 2
    assert len(outbox.entries()) == 2
