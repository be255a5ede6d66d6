"""How long is waited for what, and why so long."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. The defaults are for providers as they are; a test may make them its own.

    Attributes:
        settle_s: After a create whose outcome is in doubt no list counts for so long: lists were seen to lag by 60 s.
        lag_s: Two lists that lack a machine prove that it is gone when they are at least so far apart.
        ask_s: A machine that is dearer than agreed waits so long for an answer, and costs money meanwhile; then it is ended.
        busy_s: Between two looks while something is on its way.
        calm_s: Between two looks while a machine just works.
        longest_s: Between two requests to end the same machine, or two lists that fail, at most.
        fresh_s: A list that is older says nothing about whether there is something already.
        send_s: A create is not sent later than this after it was written down: who was frozen in between has lost its turn.
        hold_s: A worker's turn at a record, renewed with every write; longer than any one call to a provider.
        loud_s: What is to be gone and is not is an alarm from then on.
        unheard_s: What was lost and had not been heard of for so long may have ended itself, by its lease of ten minutes or because it idled:
            nobody asked for another one. A minute is what home may have seen of it later than it was so.
        ailing_s: A machine that its provider finds fault with is given up when it was not heard for so long, either: it has switched itself
            off, or its host is down for longer than a start takes.
        spare_s: How much of a budget is kept for ending a machine.
        save_s: Stopping, saving and fetching are given so long before a cap ends the machine, where they were not seen to take longer: 90 s are
            the node's own bound of stopping and saving, the rest brings 300 MB home at 2 MB/s.
        warn_share: So much of a life is over, by whichever cap comes first, and it is said: what is left is enough to act on.
    """

    settle_s: float = 120.0
    lag_s: float = 90.0
    ask_s: float = 300.0
    busy_s: float = 10.0
    calm_s: float = 30.0
    longest_s: float = 300.0
    fresh_s: float = 30.0
    send_s: float = 10.0
    hold_s: float = 90.0
    loud_s: float = 120.0
    unheard_s: float = 540.0
    ailing_s: float = 300.0
    spare_s: float = 60.0
    save_s: float = 240.0
    warn_share: float = 0.8


LIMITS = Limits()
LAG_VARIABLE = "PEFT_STUDIO_RENT_LAG_S"


def read_limits() -> Limits:
    """The limits; where ``PEFT_STUDIO_RENT_LAG_S`` says how late a provider's list is at most, with that. Only an emulator is sure of it."""
    lag = os.environ.get(LAG_VARIABLE, "")
    if not lag:
        return LIMITS
    late_s = float(lag)
    ailing_s = min(LIMITS.ailing_s, 60 * late_s)  # its machines start in seconds, too
    return replace(LIMITS, settle_s=late_s, lag_s=late_s, busy_s=min(LIMITS.busy_s, late_s), ailing_s=ailing_s)


FIRST_WAIT_S = 5.0
OFTEN_S, OFTEN = (
    15.0,
    32,
)  # a lost request is made good while the machine has cost little; four a minute is a fraction of any provider's limit


def end_wait_s(times: int, limits: Limits = LIMITS) -> float:
    """How long after the ``times``-th request to end a machine the next is sent: 15 s for the first eight minutes, then up to 5 minutes, for ever."""
    often_s = min(OFTEN_S, look_wait_s(times, limits))
    return min(limits.longest_s, often_s * 2.0 ** min(max(0, times - OFTEN), 10))


def look_wait_s(times: int, limits: Limits = LIMITS) -> float:
    """How long after the ``times``-th list in a row that failed the next is asked for: doubling from 5 s to 5 minutes, for ever."""
    return min(limits.longest_s, FIRST_WAIT_S * 2.0 ** min(times - 1, 10))
