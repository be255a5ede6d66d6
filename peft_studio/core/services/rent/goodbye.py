"""Tells a machine that is to be gone so: where it can, it ends itself, also while its provider does not do what it is asked from here.

Said by whoever followed its run, and only once that one has let go of it: what is being fetched is fetched. The keepers never wait for it.
"""

from __future__ import annotations

import contextlib

from peft_studio.core.errors import StudioError
from peft_studio.core.services.rent.follow import Reach
from peft_studio.core.services.rent.moment import Moment, Now
from peft_studio.core.services.rent.record import Record

LATE_S = 10.0  # a provider that does as it is asked has ended it by then, and there is nobody to speak to
AGAIN_S = 15.0  # to one that did not hear it


class Goodbye:
    """To the machines of one run, in one process. Another one may say it again: a machine knows it already."""

    def __init__(self, reach: Reach, now: Now) -> None:
        self._reach, self._now = reach, now
        self._heard = ""
        self._tried_at: Moment | None = None

    def say(self, record: Record) -> None:
        """To be called again and again: what is due is done, until it was heard. Nothing while the machine is wanted."""
        now = self._now()
        if record.label == self._heard or not is_unwanted(record, now):
            return
        if self._tried_at is not None and now.surely_past(self._tried_at) < AGAIN_S:
            return
        self._tried_at = now
        with contextlib.suppress(StudioError):  # where it cannot be reached its provider is asked all the same
            if (node := self._reach(record)) is not None:
                with contextlib.closing(node):
                    node.let_go()
                self._heard = record.label


def is_unwanted(record: Record, now: Moment) -> bool:
    """Whether it was decided that the machine is to be gone, which is never taken back, and it may still be there."""
    done = record.done
    leaving_at = done.leaving_at if done.leaving else None
    return record.open and bool(done.instance_id) and leaving_at is not None and now.past(leaving_at) >= LATE_S
