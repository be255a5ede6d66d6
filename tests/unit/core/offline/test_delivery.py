"""What of a line is sent, when, and what is written down of it: a table of what a sender may answer."""

from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.errors import StudioError
from peft_studio.core.offline.delivery import MAYBE_SENT, deliver_line
from peft_studio.core.offline.entry import Operation
from peft_studio.core.offline.line import Line, held_line
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.offline.sender import SendLater, SendRefused
from tests.unit.core.offline.conftest import Clock, Obedient


class RateLimited(StudioError):
    """As a connector raises it by itself."""

    retry_after_s = 70.0


def deliver(outbox: Outbox, sender: Obedient, target: str = "hub:a", **options: Any) -> Any:
    return deliver_line(outbox, target, sender, roll=lambda: 0.0, **options)


def put(outbox: Outbox, *payloads: Any, target: str = "hub:a", **fields: Any) -> None:
    for payload in payloads:
        outbox.put(target, "log", payload, id=f"{target}-{payload}", **fields)


def test_a_line_goes_out_in_order_and_leaves_receipts(outbox: Outbox) -> None:
    """More than one batch of it."""
    put(outbox, *range(150))
    sender = Obedient()

    done = deliver(outbox, sender)

    assert sender.payloads == list(range(150))
    assert (done.sent, done.why, outbox.entries()) == (150, "", [])
    assert len(outbox.receipts(200)) == 150
    assert not list((outbox.folder / "lines").iterdir())


@pytest.mark.parametrize(
    ("raised", "cause", "unsure", "wait", "reason"),
    [
        (SendLater("status 500"), "error", True, 1.0, "status 500"),
        (SendLater("no route", unreachable=True), "unreachable", False, 1.0, "no route"),
        (SendLater("status 429", retry_after_s=90.0, not_sent=True), "told", False, 90.0, "status 429"),
        (SendLater("status 503", retry_after_s=90.0), "told", True, 90.0, "status 503"),
        (StudioError("half a page"), "error", True, 1.0, "half a page"),
        (RateLimited("status 429"), "told", True, 70.0, "status 429"),
        (KeyError("sk-live-secret"), "error", True, 1.0, "KeyError in the connector"),
    ],
)
def test_a_failure_waits_and_holds_its_line(
    outbox: Outbox, clock: Clock, raised: Exception, cause: str, unsure: bool, wait: float, reason: str
) -> None:
    """What follows is not sent before it, and it is tried again when its wait is over."""
    put(outbox, 1, 2, 3)
    sender = Obedient(None, raised)

    done = deliver(outbox, sender)
    failed, behind = outbox.entries()

    assert (done.sent, done.why, done.left_s) == (1, reason, wait)
    assert (failed.cause, failed.unsure, failed.wait_s, failed.reason, failed.tries) == (cause, unsure, wait, reason, 1)
    assert (behind.tries, behind.unsure) == (0, False)
    clock.now += wait / 2
    assert deliver(outbox, sender).left_s == wait / 2
    clock.now += wait / 2
    assert deliver(outbox, sender).sent == 2
    assert sender.payloads == [1, 2, 2, 3]
    assert len({entry.key for entry in sender.sent[1:3]}) == 1


def test_waits_grow(outbox: Outbox, clock: Clock) -> None:
    """With each failure; it never gives up."""
    put(outbox, 1)
    sender, waits = Obedient(*[SendLater("status 500")] * 12), []
    for _ in range(12):
        waits.append(deliver(outbox, sender).left_s)
        clock.now += waits[-1]

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 450.0, 450.0, 450.0]
    assert deliver(outbox, sender).sent == 1


def test_one_target_holds_no_other(outbox: Outbox) -> None:
    """The line beside a failed one goes on."""
    put(outbox, 1)
    put(outbox, 2, target="hub:b")
    deliver(outbox, Obedient(SendLater("status 500")))

    assert deliver(outbox, Obedient(), target="hub:b").sent == 1


def test_a_refused_one_stands_aside(outbox: Outbox) -> None:
    """The others go on; what was refused can be seen with its reason."""
    put(outbox, 1, 2, 3)
    sender = Obedient(None, SendRefused("too long", hint="Shorten it."))

    done = deliver(outbox, sender)
    dead = outbox.entries()[0]

    assert (done.sent, done.refused) == (2, 1)
    assert (dead.state, dead.cause, dead.unsure) == ("dead", "refused", False)
    assert "too long" in dead.reason


def test_one_that_holds_stops_its_line_when_it_is_refused(outbox: Outbox) -> None:
    """What builds on it is not sent."""
    put(outbox, 1)
    put(outbox, 2, holds=True)
    put(outbox, 3)
    sender = Obedient(None, SendRefused("no such owner"))

    deliver(outbox, sender)
    done = deliver(outbox, sender)

    assert sender.payloads == [1, 2]
    assert "which was refused" in done.why
    assert [e.state for e in outbox.entries()] == ["dead", "waiting"]


@pytest.mark.parametrize(("arrived", "sent"), [(True, 1), (False, 2)])
def test_without_a_key_the_other_side_is_asked_before_a_repeat(
    outbox: Outbox, clock: Clock, arrived: bool, sent: int
) -> None:
    """A lost reply: what is there already is not sent again. A first try is never asked about."""
    put(outbox, 1)
    sender = Obedient(SendLater("no answer"), idempotent=False, reads_back=True)
    deliver(outbox, sender)
    sender.there = {"hub:a-1"} if arrived else set()
    clock.now += 10

    done = deliver(outbox, sender)

    assert (done.sent, len(sender.sent), sender.asked) == (1, sent, ["hub:a-1"])


def test_a_remote_with_keys_that_can_be_asked_is_asked(outbox: Outbox, clock: Clock) -> None:
    """It may have forgotten the key by the time that a laptop is opened again."""
    put(outbox, 1)
    sender = Obedient(SendLater("no answer"), idempotent=True, reads_back=True)
    deliver(outbox, sender)
    sender.there = {"hub:a-1"}
    clock.now += 7 * 86_400

    assert (deliver(outbox, sender).sent, len(sender.sent)) == (1, 1)


def test_nobody_is_asked_when_it_surely_was_not_sent(outbox: Outbox, clock: Clock) -> None:
    """After 429, or when nothing could be reached."""
    put(outbox, 1)
    sender = Obedient(SendLater("no route", unreachable=True), SendLater("429", not_sent=True), idempotent=False)
    for _ in range(3):
        deliver(outbox, sender)
        clock.now += 10

    assert (outbox.entries(), len(sender.sent)) == ([], 3)


def test_what_can_neither_be_repeated_nor_asked_is_left_to_a_person(outbox: Outbox, clock: Clock) -> None:
    """It is not sent again by itself, and it is said why."""
    put(outbox, 1, 2)
    sender = Obedient(SendLater("no answer"), idempotent=False)
    deliver(outbox, sender)
    clock.now += 10
    deliver(outbox, sender)
    dead = outbox.entries()

    assert sender.payloads == [1, 2]
    assert [(e.state, e.cause, e.unsure, e.reason) for e in dead] == [("dead", "unknown", True, MAYBE_SENT)]


def test_a_kill_while_sending_leaves_it_marked(outbox: Outbox) -> None:
    """Whatever stops the process between the first byte and the receipt."""
    put(outbox, 1, 2)
    with pytest.raises(KeyboardInterrupt):
        deliver(outbox, Obedient(None, KeyboardInterrupt()))
    asked = Obedient(idempotent=False, reads_back=True)
    asked.there = {"hub:a-1"}

    assert [e.unsure for e in outbox.entries()] == [True, True]
    deliver(outbox, asked)
    assert (asked.asked, asked.payloads) == (["hub:a-1", "hub:a-2"], [2])


@pytest.mark.parametrize(
    ("receipt", "kept"), [({"id": 7}, "{'id': 7}"), ("\ud800", "?"), ("x" * 10_000, "x" * 2_000), (None, "")]
)
def test_whatever_a_sender_gives_back_it_was_sent(outbox: Outbox, receipt: Any, kept: str) -> None:
    """A receipt that is no text, or too much of it, does not have the thing sent again."""
    put(outbox, 1)
    sender = Obedient(receipt)

    assert (deliver(outbox, sender).sent, deliver(outbox, sender).sent) == (1, 0)
    assert outbox.receipts()[0].text == kept


def test_going_offline_stops_between_two(outbox: Outbox) -> None:
    """What was taken and not sent is not marked; the reason is told."""
    put(outbox, 1, 2, 3)
    sender, said = Obedient(), []
    sender.before = lambda: said.append("offline: on a plane")

    done = deliver(outbox, sender, stop=lambda: "".join(said))

    assert (done.sent, done.why) == (1, "offline: on a plane")
    assert [(e.payload, e.unsure) for e in outbox.entries()] == [(2, False), (3, False)]
    assert deliver(outbox, sender, stop=lambda: "offline").why == "offline"
    assert len(sender.sent) == 1


def test_slow_ones_are_written_down_one_by_one(outbox: Outbox) -> None:
    """A batch ends when it has taken long: a crash then leaves few in doubt."""
    put(outbox, 1, 2, 3)
    time, seen = Clock(0.0), []
    sender = Obedient()

    def slowly() -> None:
        time.now += 60
        seen.append(len(outbox.receipts()))

    sender.before = slowly
    deliver(outbox, sender, clock=time)

    assert seen == [0, 1, 2]


def test_batches_are_as_long_as_the_other_side_is_quick(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many each time; few when they take long; no more than fits in memory."""
    sizes: list[int] = []
    settle = Line.settle
    monkeypatch.setattr(Line, "settle", lambda self, outcomes: (sizes.append(len(outcomes)), settle(self, outcomes))[1])
    outbox.put_all([Operation("hub:a", "log", n) for n in range(1200)])
    deliver(outbox, Obedient())
    assert sizes == [8, 16, 32, 64, 128, 256, 512, 184]
    sizes.clear()
    time, sender = Clock(0.0), Obedient()

    def slowly() -> None:
        time.now += 0.2

    sender.before = slowly
    outbox.put_all([Operation("hub:a", "log", n) for n in range(20)])
    deliver(outbox, sender, clock=time)
    assert sizes[:3] == [8, 6, 6]
    sizes.clear()
    outbox.put_all([Operation("hub:a", "log", "x" * 1_000_000) for _ in range(7)])
    deliver(outbox, Obedient())
    assert sizes == [4, 3]


def test_a_held_line_is_left_alone(outbox: Outbox) -> None:
    """Another worker has it."""
    put(outbox, 1)
    with held_line(outbox, "hub:a") as line:
        assert line
        done = deliver(outbox, Obedient())

    assert (done.sent, done.why) == (0, "is being sent already")
    assert deliver(outbox, Obedient()).sent == 1
