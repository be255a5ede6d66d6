"""How long to wait before the next try."""

from __future__ import annotations

FIRST_S = 2.0
LONGEST_S = 900.0  # a quarter of an hour: an outbox never gives up, so it must not be deaf for long either
LONGEST_TOLD_S = 86_400.0  # a day: whatever a Retry-After says


def wait_s(tries: int, roll: float, retry_after_s: float | None = None) -> float:
    """Seconds after the ``tries``-th failure: doubling from 2 s to 15 min, of which between half and all, by ``roll`` in [0, 1).

    Never less than the other side asked for, up to a day, and up to a tenth more, so that many who were told the same do not come at once.
    """
    doubled = min(LONGEST_S, FIRST_S * 2.0 ** min(tries - 1, 30))
    if retry_after_s is not None and retry_after_s > 0:
        return max(min(retry_after_s, LONGEST_TOLD_S) * (1 + roll / 10), doubled / 2)
    return doubled * (0.5 + roll / 2)
