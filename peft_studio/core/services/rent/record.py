"""What is on disk of one attempt to rent a machine: what was intended, what people said since, and what was done. Frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.rent.idle import Verdict
from peft_studio.core.services.rent.moment import Moment

# Long enough for a router that restarts or a laptop on its way home; longer is a choice, for it costs money.
KEEP_S = 900.0
IDLE_S = 3600.0
Made = Literal["unasked", "unsure", "made", "refused"]
Why = Literal[
    "completed", "stopped", "idle",  # said from outside
    "budget", "lifetime", "price", "expired",  # a brake
    "sold-out", "rate-limited", "refused", "never-made", "no-progress", "failed", "preempted", "vanished",  # the machine or its provider
    "unheard",  # gone, and it may have ended itself; or never seen, and it may have been there
    "ghost", "stray",  # ours by its label, and nobody wants it
]  # fmt: skip
AGAIN: frozenset[Why] = frozenset(
    {"sold-out", "rate-limited", "refused", "never-made", "no-progress", "failed", "preempted", "vanished"}
)
"""Ends after which another machine may take the run on."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to be rented, written before anything is asked for. Never changed.

    Attributes:
        at: When it was written.
        offers: The one to take, then those to fall back on, which may be of other providers. Empty for a stray that is to be ended.
        max_usd_per_hour: More than that is asked about first.
        budget_usd: Cap of the run, over all attempts.
        lifetime_s: The hard end of the machine after its creation, or its turn where its provider has a line; wherever its laptop is.
        asked_life_s: What was asked for, before the caps shortened it; None in a record of before, which does not know it.
        patience_s: So long without progress, and the next offer is tried.
        launch_by_s: An intent that was not acted on for so long is dropped: nobody wants a machine the morning after.
        failed_before: Attempts just before this one that never came to train.
        most_failed: So many of them in a row, and the run is given up.
        not_before: The provider asked for patience.
        disk_gib: What is rented with it.
        keep_s: Once the run has ended its machine waits so long, within its life, for whoever fetches the files.
        idle_s: A GPU that has nothing to do for so long: a warning, then it is stopped and saved. None: it may.
    """

    label: str
    run_id: str
    attempt: int
    provider: str
    at: Moment
    offers: tuple[Offer, ...] = ()
    max_usd_per_hour: Decimal | None = None
    budget_usd: Decimal | None = None
    lifetime_s: float = 86_400.0
    patience_s: float = 90.0
    launch_by_s: float = 900.0
    failed_before: int = 0
    most_failed: int = 6
    not_before: Moment | None = None
    disk_gib: int = 40
    keep_s: float = KEEP_S
    idle_s: float | None = IDLE_S
    asked_life_s: float | None = None

    @property
    def wanted_life_s(self) -> float:
        """The life that another machine of this run is given, where the caps allow it by then."""
        return self.lifetime_s if self.asked_life_s is None else self.asked_life_s

    @property
    def offer(self) -> Offer | None:
        """The one to take."""
        return self.offers[0] if self.offers else None


@dataclass(frozen=True, slots=True)
class Wish:
    """What was said from outside since: by a person, or by whoever follows the run.

    Attributes:
        end: Why it is to be gone; it cannot be unsaid.
        price_ok: A price per hour that a person agreed to.
        moved_at: When the machine was last heard to get on with it.
        ready: The run trains there: whoever follows it looks after its progress from now on.
        idle: What its GPU's load makes of it; ``stop`` cannot be unsaid.
        took_s: How long saving a checkpoint and fetching it took there, when last seen.
        fetching: The run has ended there, and what it left is on its way home.
    """

    end: Why | None = None
    price_ok: Decimal | None = None
    moved_at: Moment | None = None
    ready: bool = False
    idle: Verdict = "busy"
    took_s: float | None = None
    fetching: bool = False


@dataclass(frozen=True, slots=True)
class EndAsked:
    """How often, and when last, the end of one machine was asked for."""

    instance_id: str
    times: int
    at: Moment


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, and what was seen of it.

    Attributes:
        asked_at: When the create was about to be sent: once for a label, whatever came of it.
        made: What is known of its outcome.
        doubt_at: From when the settle time counts: the reply, or the loss of it.
        rank: How far the machine was seen to come: 1 provisioning, 2 booting, 3 running.
        turn_at: Where its provider has a line: when its turn was seen to have come.
        moved_at: When it came further.
        usd_per_hour: What the provider last said that it costs.
        asking_at: Since when its price waits for a person.
        warned: Which cap is near: whoever follows the run says so.
        saving: Why it is to stop and save, and since when: whoever follows the run sees to it. Its end by force may come first.
        leaving: Why it is to be gone. Never taken back.
        absent: When whole lists that count and lacked it were asked for; two prove it.
        gone_at: When the first of these was answered: until then it may have cost something.
        trouble: What stands in the way, and since when.
        retry_s: How long the provider wants to be left alone before the next attempt.
        closed_at: When it was proven that nothing of it is left.
    """

    asked_at: Moment | None = None
    made: Made = "unasked"
    doubt_at: Moment | None = None
    instance_id: str = ""
    rank: int = 0
    turn_at: Moment | None = None
    moved_at: Moment | None = None
    usd_per_hour: Decimal | None = None
    asking_at: Moment | None = None
    warned: Why | None = None
    saving: Why | None = None
    saving_at: Moment | None = None
    leaving: Why | None = None
    leaving_at: Moment | None = None
    ends: tuple[EndAsked, ...] = ()
    absent: tuple[Moment, ...] = ()
    gone_at: Moment | None = None
    trouble: str = ""
    trouble_at: Moment | None = None
    retry_s: float = 0.0
    closed_at: Moment | None = None

    def find_end(self, instance_id: str) -> EndAsked | None:
        """How its end was asked for; None where it was not."""
        return next((asked for asked in self.ends if asked.instance_id == instance_id), None)


@dataclass(frozen=True, slots=True)
class Record:
    """One row. ``edition`` grows with every write of a worker."""

    intent: Intent
    wish: Wish = field(default_factory=Wish)
    done: Done = field(default_factory=Done)
    edition: int = 0

    @property
    def label(self) -> str:
        """Its name, here and at the provider."""
        return self.intent.label

    @property
    def open(self) -> bool:
        """Whether something of it may still be there."""
        return self.done.closed_at is None

    @property
    def in_line(self) -> bool:
        """Whether it waits for its turn at a provider that has a line, so far as was seen: no lack of progress, and nothing is billed."""
        offer = self.intent.offer
        return offer is not None and offer.queues and self.done.made == "made" and self.done.rank <= 1

    @property
    def lives_since(self) -> Moment | None:
        """From when its longest lifetime counts: a place in line is no machine. None: it has not begun."""
        return None if self.in_line else self.done.turn_at or self.done.asked_at

    def billed_at_s(self, now: Moment) -> float:
        """Now on the axis of its bill: the clock at its creation and true seconds since, so a clock that is set makes no machine cheaper."""
        begin = self.done.asked_at or self.intent.at
        return begin.wall_s + now.past(begin)


def rate_of(record: Record) -> Decimal:
    """Dollars an hour, as last seen, else as offered."""
    offered = record.intent.offer.usd_per_hour if record.intent.offer else Decimal(0)
    return offered if record.done.usd_per_hour is None else record.done.usd_per_hour


def open_again(done: Done, why: Why, at: Moment) -> Done:
    """A record that was closed, once something of it shows up after all: to be gone, and proven anew."""
    return replace(
        done, leaving=why, leaving_at=at, absent=(), closed_at=None, doubt_at=at, asked_at=done.asked_at or at
    )
