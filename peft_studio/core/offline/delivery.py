"""Send a line: each operation once, in order, until one has to wait. What a sender may raise ends here.

The order of steps is the whole of it: mark as perhaps sent, durably; ask first where a repeat could double; send; write down. Whatever
dies between two of these leaves an operation that is marked, and a marked one is only repeated where that cannot double it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from peft_studio.core.errors import StudioError
from peft_studio.core.offline.backoff import wait_s
from peft_studio.core.offline.entry import Cause, Entry
from peft_studio.core.offline.line import Outcome, held_line
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.offline.sender import Sender, SendRefused

FIRST, MOST = 8, 512  # operations marked and settled together: two writes to disk for all of them
TOGETHER_S = (
    0.5  # what takes longer is settled earlier: after a crash each that is marked has to be asked for or repeated
)
MOST_TEXT = 2_000  # characters of a receipt or a reason

MAYBE_SENT = (
    "It may have arrived, and the other side cannot be asked. Look there: then retry it to send it again, or drop it."
)


@dataclass
class Delivered:
    """What came of one line. ``why`` it stopped, if anything is left, and how long until it goes on by itself."""

    target: str
    sent: int = 0
    refused: int = 0
    why: str = ""
    left_s: float = 0.0


def deliver_line(
    outbox: Outbox,
    target: str,
    sender: Sender,
    *,
    stop: Callable[[], str] = lambda: "",
    roll: Callable[[], float] = random.random,
    clock: Callable[[], float] = time.monotonic,
) -> Delivered:
    """Send what is due of one target.

    Args:
        stop: A reason to send no more, or nothing. Asked before each operation.
        roll: A random number in [0, 1), for waits.
        clock: Seconds that only go forward: how long operations are held together.
    """
    done = Delivered(target)
    at_once = FIRST
    with held_line(outbox, target) as line:
        if line is None:
            done.why = "is being sent already"
            return done
        while not done.why:
            done.why = stop()
            if done.why:
                break
            taken = line.take(at_once if sender.idempotent or sender.reads_back else 1)
            if not taken.entries:
                done.why, done.left_s = taken.why, taken.left_s
                break
            outcomes = _send_all(taken.entries, sender, done, stop=stop, roll=roll, clock=clock)
            line.settle(outcomes)
            _count(done, outcomes)
            tried = sum(one.end != "untouched" for one in outcomes)
            at_once = min(MOST, 2 * tried)  # as many as this other side takes in the time, and more if it can
    return done


def _send_all(
    entries: tuple[Entry, ...],
    sender: Sender,
    done: Delivered,
    *,
    stop: Callable[[], str],
    roll: Callable[[], float],
    clock: Callable[[], float],
) -> list[Outcome]:
    began, outcomes, ended = clock(), list[Outcome](), False
    for entry in entries:
        if outcomes and not ended:
            done.why = stop()
            ended = bool(done.why) or clock() - began > TOGETHER_S
        if ended:
            outcomes.append(Outcome(entry, "untouched"))
            continue
        outcome = _send(entry, sender, roll)
        outcomes.append(outcome)
        ended = outcome.end == "later" or (outcome.end == "dead" and entry.holds)
    return outcomes


def _send(entry: Entry, sender: Sender, roll: Callable[[], float]) -> Outcome:
    """One operation. A crash in here leaves it marked."""
    unsure = entry.unsure
    try:
        if unsure and sender.reads_back:
            if sender.read_back(entry):
                return Outcome(entry, "sent")
            unsure = False
        elif unsure and not sender.idempotent:
            return Outcome(entry, "dead", MAYBE_SENT, cause="unknown")
        receipt = sender.send(entry)
        return Outcome(entry, "sent", "" if receipt is None else str(receipt)[:MOST_TEXT])
    except SendRefused as exc:
        return Outcome(entry, "dead", str(exc)[:MOST_TEXT], cause="refused", unsure=unsure)
    except StudioError as exc:  # SendLater, or what a connector says in its own words: then it may have arrived
        told_s = getattr(exc, "retry_after_s", None)
        cause: Cause = (
            "told" if told_s is not None else "unreachable" if getattr(exc, "unreachable", False) else "error"
        )
        wait, unsure = wait_s(entry.tries + 1, roll(), told_s), unsure or not getattr(exc, "not_sent", False)
        return Outcome(entry, "later", str(exc)[:MOST_TEXT], cause=cause, wait_s=wait, unsure=unsure)
    except Exception as exc:  # noqa: BLE001  the boundary: a connector's fault, of whose text, which may hold anything, nothing is kept
        reason = f"{type(exc).__name__} in the connector"
        return Outcome(entry, "later", reason, cause="error", wait_s=wait_s(entry.tries + 1, roll()))


def _count(done: Delivered, outcomes: list[Outcome]) -> None:
    for one in outcomes:
        if one.end == "sent":
            done.sent += 1
        elif one.end == "dead":
            done.refused += 1
        elif one.end == "later":
            done.why, done.left_s = one.text, one.wait_s
