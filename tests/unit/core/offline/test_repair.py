"""Dead letters: tried again in their place, changed, given up; and never so that something is there twice."""

from __future__ import annotations

import pytest

from peft_studio.core.errors import OutboxError
from peft_studio.core.offline import repair
from peft_studio.core.offline.delivery import deliver_line
from peft_studio.core.offline.entry import Receipt
from peft_studio.core.offline.line import held_line
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.offline.sender import SendLater, SendRefused
from tests.unit.core.offline.conftest import Clock, Obedient


@pytest.fixture
def refused(outbox: Outbox) -> Outbox:
    """``e1`` was refused and holds ``e2``."""
    outbox.put("hub:a", "create", {"name": "a b"}, id="e1", holds=True)
    outbox.put("hub:a", "upload", {"n": 2}, id="e2")
    deliver_line(outbox, "hub:a", Obedient(SendRefused("a name has no spaces")))
    return outbox


def test_edited_it_goes_first_under_another_key(refused: Outbox) -> None:
    """For the other side it is another thing; in the line it is where it was."""
    entry = repair.edit(refused, "e1", {"name": "ab"})
    sender = Obedient()

    deliver_line(refused, "hub:a", sender)

    assert (entry.state, entry.payload, entry.reason) == ("waiting", {"name": "ab"}, "")
    assert sender.payloads == [{"name": "ab"}, {"n": 2}]
    assert [e.key for e in sender.sent] == ["e1.1", "e2"]


def test_retried_it_keeps_its_key(refused: Outbox) -> None:
    """As it was, in its place."""
    repair.retry(refused, "e1")
    sender = Obedient()

    deliver_line(refused, "hub:a", sender)

    assert [e.key for e in sender.sent] == ["e1", "e2"]


def test_dropped_it_lets_the_rest_go_and_does_not_come_back(refused: Outbox) -> None:
    """A late put of it is told so."""
    repair.drop(refused, "e1")
    sender = Obedient()
    deliver_line(refused, "hub:a", sender)
    late = refused.put("hub:a", "create", {"name": "a b"}, id="e1", holds=True)

    assert [e.key for e in sender.sent] == ["e2"]
    assert isinstance(late, Receipt)
    assert not late.was_sent
    assert refused.entries() == []


def test_retry_ends_a_wait(outbox: Outbox) -> None:
    """Told or not: a person asked."""
    outbox.put("hub:a", "log", 1, id="e1")
    deliver_line(outbox, "hub:a", Obedient(SendLater("429", retry_after_s=3600.0)))
    repair.retry(outbox, "e1")

    assert deliver_line(outbox, "hub:a", Obedient()).sent == 1


def test_what_may_have_arrived_is_sent_again_only_by_a_persons_word(outbox: Outbox, clock: Clock) -> None:
    """It cannot be edited, for then both might be there; retried it is sent."""
    outbox.put("hub:a", "log", 1, id="e1")
    blind = Obedient(SendLater("no answer"), idempotent=False)
    deliver_line(outbox, "hub:a", blind)
    clock.now += 10
    deliver_line(outbox, "hub:a", blind)
    with pytest.raises(OutboxError, match="may have arrived"):
        repair.edit(outbox, "e1", 2)
    repair.retry(outbox, "e1")

    deliver_line(outbox, "hub:a", blind)

    assert (blind.payloads, outbox.entries()) == ([1, 1], [])


def test_a_retried_one_that_may_have_arrived_is_still_asked_for(outbox: Outbox, clock: Clock) -> None:
    """Where the other side can be asked, a person's retry changes nothing about that."""
    outbox.put("hub:a", "log", 1, id="e1")
    asked = Obedient(SendLater("no answer"), idempotent=False, reads_back=True)
    deliver_line(outbox, "hub:a", asked)
    asked.there = {"e1"}
    repair.retry(outbox, "e1")

    deliver_line(outbox, "hub:a", asked)

    assert (asked.payloads, asked.asked, outbox.entries()) == ([1], ["e1"], [])


def test_what_waits_is_not_edited_and_what_is_sent_is_not_dropped(outbox: Outbox) -> None:
    """Only whoever holds the line may say what becomes of it."""
    outbox.put("hub:a", "log", 1, id="e1")
    outbox.put("hub:a", "log", 2, id="e2")
    with pytest.raises(OutboxError, match="not refused"):
        repair.edit(outbox, "e1", 2)
    with held_line(outbox, "hub:a") as line:
        assert line
        line.take(1)
        with pytest.raises(OutboxError, match="being sent"):
            repair.drop(outbox, "e1")
        repair.drop(outbox, "e2")
    repair.drop(outbox, "e1")

    assert outbox.entries() == []


@pytest.mark.parametrize("what", [repair.retry, repair.drop, lambda outbox, entry_id: repair.edit(outbox, entry_id, 1)])
def test_an_unknown_id_is_said(outbox: Outbox, what: object) -> None:
    """In words, with a way on."""
    with pytest.raises(OutboxError, match="no operation 'e9'"):
        what(outbox, "e9")  # type: ignore[operator]
