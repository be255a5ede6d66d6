"""When to ask again, and how fast to ask at all. Pure but for the clock; knows no HTTP client."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 8.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take. A call is all its attempts and redirects together."""

    connect_s: float = 5.0
    read_s: float = 20.0  # between two pieces of an answer
    write_s: float = 20.0
    total_s: float = 45.0
    attempts: int = 4
    first_wait_s: float = 0.5  # the bound before the second attempt; it doubles from there
    longest_wait_s: float = 20.0  # a platform that asks for more is told of to the caller at once
    answer_bytes: int = 32 * 2**20
    redirects: int = 5

    @property
    def timeouts(self) -> dict[str, float]:
        """By phase, as httpcore names them."""
        return {"connect": self.connect_s, "read": self.read_s, "write": self.write_s, "pool": self.connect_s}


def backoff_s(attempt: int, *, first_s: float) -> float:
    """Full jitter: anything up to a bound that doubles, so that many callers who failed together do not return together.

    M. Brooker, "Exponential Backoff And Jitter" (2015).
    """
    return random.uniform(0, min(LONGEST_WAIT_S, first_s * 2**attempt))  # noqa: S311  # spreads load, guards nothing


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, given as a number or as a date; None where it says neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)  # RFC 9110: a date without a zone is GMT
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())


class Pace:
    """A token bucket: ``burst`` requests at once, then ``per_s`` a second. Threads share it."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._lock = threading.Lock()
        self._free_at = 0.0  # when the bucket would be full again
        self._closed_until = 0.0

    def reserve(self, now: float) -> float:
        """Take a place and return the seconds to wait for it."""
        with self._lock:
            full_at = max(self._free_at, now) + 1 / self._per_s
            self._free_at = full_at
            turn_at = max(full_at - self._burst / self._per_s, self._closed_until)
            return max(0.0, turn_at - now)

    def give_back(self) -> None:
        """Return a place that was not used."""
        with self._lock:
            self._free_at -= 1 / self._per_s

    def close_until(self, then: float) -> None:
        """Nobody asks before ``then``: the platform said so to one of us."""
        with self._lock:
            self._closed_until = max(self._closed_until, then)


_paces: dict[str, Pace] = {}
_paces_lock = threading.Lock()


def pace_for(host: str, *, per_s: float, burst: int) -> Pace:
    """The bucket of a host, one in this process whoever asks; the first to ask sets its size."""
    with _paces_lock:
        return _paces.setdefault(host, Pace(per_s, burst))
