"""Machines with our prefix that no record of this home stands for. Whose they are, and whether they have outlived themselves."""

from __future__ import annotations

from collections.abc import Iterable

from peft_studio.core.ports.rental import Instance
from peft_studio.core.services.rent.label import is_ours, read_label
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Intent
from peft_studio.core.services.rent.store import Stray

OVERDUE_S = 3600.0  # clocks of two computers differ; an hour past its own hard end nobody's machine is alive on purpose


def find_strays(provider: str, instances: Iterable[Instance], *, home: str) -> list[Stray]:
    """The ones of our prefix among machines that have no record here. What is not ours is not even looked at."""
    strays = []
    for one in instances:
        if is_ours(one.label):
            tag = read_label(one.label)
            strays.append(
                Stray(
                    provider, one.id, one.label, one.usd_per_hour, ours=tag is not None and tag.home == home,
                    ends_at_s=tag.ends_at_s if tag else None,
                )
            )  # fmt: skip
    return strays


def is_overdue(stray: Stray, now: Moment, began: Moment) -> bool:
    """Whether its own label says that it should long be gone. One whose label cannot be read is never ended by itself.

    ``began``: since when this process looks. A clock that was set since then ends nobody's machine: it was wrong before, or is now.
    """
    set_by_s = abs((now.wall_s - began.wall_s) - (now.steady_s - began.steady_s))
    return stray.ends_at_s is not None and set_by_s < OVERDUE_S / 2 and now.wall_s >= stray.ends_at_s + OVERDUE_S


def adopt(stray: Stray, now: Moment) -> Intent:
    """A record under which a stray is ended, and looked after until it is gone: it offers nothing, so it is to be gone from the first."""
    tag = read_label(stray.label)
    run_id = tag.run_id if tag and stray.ours else ""  # another home's runs are not among ours
    return Intent(stray.label, run_id, 0, stray.provider, now)
