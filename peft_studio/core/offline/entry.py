"""One operation in the outbox, as a person or a sender meets it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

State = Literal["waiting", "dead"]
Cause = Literal["", "unreachable", "error", "told", "refused", "unknown", "sealed"]
"""Why it has not been sent yet: the network; the other side's error; its Retry-After. Why it is dead: it was refused; nobody
can know whether it arrived; it cannot be opened."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What is to be sent. ``target`` is a line of operations that build on one another, such as ``huggingface:me/adapter``.

    Args:
        kind: A word for the sender and for people: ``upload``, ``log``.
        payload: JSON. Sealed on disk; target and kind are not. Big things are named by path and digest, not contained.
        id: The event's own id, when the same call may come twice: it is queued once. Made when empty.
        holds: Whether the rest of the line waits when this one is refused for good: a repository that could not be made.
    """

    target: str
    kind: str
    payload: Any
    id: str = ""
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation in the outbox.

    Attributes:
        key: What a remote with idempotency keys is to be given: the id, and another one after the payload was edited.
        unsure: Whether it may have reached the other side already: a reply was lost, or a process died while it was sent.
        tries: How often sending it has failed.
        reason: Why it has not been sent, or why it is dead, in words.
        wait_s: How long to wait after ``failed_at`` before the next try.
        readable: Whether its content could be opened; when not, ``payload`` is None and ``reason`` says why.
    """

    id: str
    seq: int
    target: str
    kind: str
    payload: Any
    state: State
    holds: bool
    unsure: bool
    tries: int
    edition: int
    size_bytes: int
    queued_at: datetime
    failed_at: datetime | None
    wait_s: float
    cause: Cause
    reason: str
    readable: bool = True

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.id if not self.edition else f"{self.id}.{self.edition}"

    def left_s(self, now: float) -> float:
        """Seconds until it may be tried again; 0 when it may be now."""
        return left_s(now, self.failed_at.timestamp() if self.failed_at else None, self.wait_s)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is remembered of an operation that was sent, or dropped by a person, so that it is not queued again.

    Attributes:
        text: What the sender gave back: an address, a name.
    """

    id: str
    target: str
    kind: str
    ended_at: datetime
    was_sent: bool
    text: str = ""


def at(seconds: float) -> datetime:
    """Seconds since 1970 as an aware time."""
    return datetime.fromtimestamp(seconds, UTC)


def left_s(now: float, failed_at: float | None, wait_s: float) -> float:
    """What is left of a wait.

    Clocks jump. Outside of the time between the failure and the end of the wait it is over, so no jump makes it longer than twice what
    it should be, and none makes it endless.
    """
    since_s = now - failed_at if failed_at is not None else wait_s
    return wait_s - since_s if 0 <= since_s < wait_s else 0.0
