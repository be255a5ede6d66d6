"""The machines that are rented now, or may be: those on record, and those that carry our label and nobody's record. Pure, but for ``end``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from peft_studio.core.compute.ledger import Life, Total, cost, total
from peft_studio.core.errors import RentError, nearest
from peft_studio.core.ports.compute import RunMeter
from peft_studio.core.services.rent.again import dearest
from peft_studio.core.services.rent.alarms import Alarm
from peft_studio.core.services.rent.decide import too_dear
from peft_studio.core.services.rent.label import read_label
from peft_studio.core.services.rent.record import Record, Why, rate_of
from peft_studio.core.services.rent.store import Stray
from peft_studio.core.services.spend import build_meter, say_total
from peft_studio.core.services.table import Table
from peft_studio.core.words import age, usd

EVER_S = float("inf")
HOURS = 24
_WHY: dict[Why, str] = {
    "completed": "its run is complete", "stopped": "as you said", "idle": "it idled", "budget": "its cap is reached",
    "lifetime": "its longest life is over", "price": "it is dearer than agreed", "expired": "it was not bought in time",
    "sold-out": "sold out", "rate-limited": "the provider wants patience", "refused": "refused", "never-made": "it was never made",
    "no-progress": "it did not get on", "failed": "it failed", "preempted": "it was taken away", "vanished": "it vanished",
    "unheard": "it ended unheard",
    "ghost": "it came back after its end", "stray": "nobody's",
}  # fmt: skip
_RANKS = {0: "bought", 1: "being set up", 2: "booting", 3: "running"}


@dataclass(frozen=True, slots=True)
class RentedMachine:
    """One machine, or the one that is being asked for.

    Attributes:
        kind: ``stray``: it carries our label, and this home has no record of it.
        state: In words. ``leaving``: its end is asked for until the provider's list proves it.
        since_at, until_at: When it was asked for, and when it is gone at the latest; None where that is not known.
        usd_per_hour: None where the provider has not said it.
        trouble: What stands in the way; empty where nothing does.
        asks: It is dearer than was agreed to, and waits for a yes; without one it is ended within minutes.
    """

    kind: Literal["machine", "stray"]
    label: str
    run_id: str
    provider: str
    instance_id: str
    gpu: str
    state: str
    leaving: bool
    since_at: datetime | None
    until_at: datetime | None
    usd_per_hour: Decimal | None
    spent: Total
    trouble: str
    asks: bool = False

    @property
    def usd_per_day(self) -> Decimal | None:
        """What it costs to do nothing."""
        return None if self.usd_per_hour is None else self.usd_per_hour * HOURS


class RentalList(Table[RentedMachine]):
    """``studio.rentals()``. Iterate, index, or ``.end(…)``.

    Attributes:
        alarms: What is wrong now, loudest first.
        warnings: Which providers could not be asked for their lists, so that what they have is not known; that nobody watches.
    """

    HEADS = ("run", "provider", "machine", "GPU", "state", "since", "$/h", "spent", "until at most")
    nothing = "No machine is rented."

    def __init__(
        self, rows: Sequence[RentedMachine], alarms: Sequence[Alarm], *, end: Callable[[RentedMachine], None], now_s: float,
        agree: Callable[[RentedMachine], None] | None = None, notes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(rows, notes=[*(f"ALARM: {say_alarm(one)}" for one in alarms), *notes])
        self.alarms, self.warnings = tuple(alarms), tuple(notes)
        self._end, self._agree, self._now_s = end, agree, now_s

    def cells(self, row: RentedMachine) -> tuple[str, ...]:
        since = "—" if row.since_at is None else age(self._now_s - row.since_at.timestamp())
        until = "—" if row.until_at is None else f"{row.until_at:%d %b %H:%M} UTC"
        rate = "—" if row.usd_per_hour is None else usd(row.usd_per_hour)
        if row.kind == "stray" and row.usd_per_day is not None:
            rate += f" ({usd(row.usd_per_day)} a day)"
        state = f"{row.state}: {row.trouble}" if row.trouble else row.state
        return (
            row.run_id or "—", row.provider, row.instance_id or row.label, row.gpu or "—", state, since, rate,
            say_total(row.spent) if row.kind == "machine" else "—", until,
        )  # fmt: skip

    def end(self, which: str) -> list[str]:
        """Have a machine gone, by its run, its label or its id; its end is asked for until the provider's list proves it.

        Nothing of it is fetched first: ``run.stop()`` saves what was learned. Returns the labels of those whose end was not asked for before.

        Raises:
            RentError: There is no such machine.
        """
        found = [row for row in self.rows if which and which in (row.run_id, row.label, row.instance_id)]
        if not found:
            names = [name for row in self.rows for name in (row.label, row.run_id, row.instance_id) if name]
            raise RentError(f"No machine {which!r} is rented.", hint=nearest(which, names) if names else "Nothing is.")
        asked = [row for row in found if not row.leaving]
        for row in asked:
            self._end(row)
        return [row.label for row in asked]

    def agree(self, which: str) -> None:
        """Take a machine at the price that stands here, which is more than was agreed to.

        Raises:
            RentError: None of that name waits for a yes.
        """
        found = [row for row in self.rows if row.asks and which in (row.run_id, row.label, row.instance_id)]
        if not found or self._agree is None:
            raise RentError(
                f"No machine {which!r} waits for a yes to its price.",
                hint="studio.rentals() lists those that there are.",
            )
        self._agree(found[0])


def say_alarm(alarm: Alarm) -> str:
    """The sentence, and what it costs to do nothing."""
    return alarm.text if alarm.usd_per_day is None else f"{alarm.text} {usd(alarm.usd_per_day)} a day."


def build_rentals(
    records: Sequence[Record], strays: Sequence[Stray], lives: dict[str, list[Life]], *, now_s: float
) -> list[RentedMachine]:
    """Those on record first. ``records``: the open ones. ``lives``: by label."""
    adopted = {record.label for record in records}
    of_label = {stray.label: stray for stray in strays}
    rows = [_row(record, lives.get(record.label, []), of_label.get(record.label), now_s=now_s) for record in records]
    return rows + [_stray_row(stray) for stray in strays if stray.label not in adopted]


def build_run_meter(records: Sequence[Record], lives: Sequence[Life], *, now_s: float) -> RunMeter:
    """One run's meter. ``records``: all its attempts, one at least."""
    last = next(
        (one for one in reversed(records) if one.intent.offers), records[-1]
    )  # a stray that is ended is no attempt
    rates = [meter.usd_per_hour for life in lives if (meter := build_meter(life))]
    return RunMeter(
        spent=total(lives, -EVER_S, EVER_S, now_s=now_s), usd_per_hour=sum(rates, Decimal(0)) if rates else None,
        cap_usd=last.intent.budget_usd, provider=last.intent.provider, gpu=say_gpu(last), label=last.label,
        until_s=_until_s(last) if last.open else None,
        ended=_why(last) or "", dearest_usd_per_hour=dearest(last.intent.offers),
    )  # fmt: skip


def _row(record: Record, lives: Sequence[Life], stray: Stray | None, *, now_s: float) -> RentedMachine:
    """``stray``: what this record was made of, where a person had a machine of nobody's ended."""
    intent, done = record.intent, record.done
    began = done.asked_at or intent.at
    until_s = _until_s(record) if intent.offers else None
    price = rate_of(record) if intent.offers or done.usd_per_hour else (stray.usd_per_hour if stray else None)
    return RentedMachine(
        "machine", record.label, intent.run_id, intent.provider, done.instance_id or (stray.instance_id if stray else ""), say_gpu(record),
        say_state(record), _why(record) is not None, _at(began.wall_s), _at(until_s), price,
        sum((cost(life, -EVER_S, EVER_S, now_s=now_s) for life in lives), Total()), done.trouble,
        asks=_why(record) is None and done.asking_at is not None and too_dear(record),
    )  # fmt: skip


def _until_s(record: Record) -> float | None:
    """When its longest lifetime is over; None while it waits in line, which takes nothing of it."""
    begins = record.lives_since or (None if record.in_line else record.intent.at)
    return None if begins is None else begins.wall_s + record.intent.lifetime_s


def _stray_row(stray: Stray) -> RentedMachine:
    tag = read_label(stray.label)
    state = "no record of it here" if stray.ours else "of another home of this account"
    return RentedMachine(
        "stray", stray.label, tag.run_id if tag and stray.ours else "", stray.provider, stray.instance_id, "", state, False,
        None, _at(stray.ends_at_s), stray.usd_per_hour, Total(), "",
    )  # fmt: skip


def say_gpu(record: Record) -> str:
    """``A100 80GB``, ``2 × A100 80GB``."""
    offer = record.intent.offer
    if offer is None or offer.gpu is None:
        return ""
    return offer.gpu if offer.gpu_count == 1 else f"{offer.gpu_count} × {offer.gpu}"


def say_state(record: Record) -> str:
    """How a machine stands, in a few words."""
    done, why = record.done, _why(record)
    if why:
        return f"ending ({_WHY[why]})"
    if done.asked_at is None:
        return "about to be bought"
    if done.made != "made":
        return "asked for, not seen yet"
    if done.asking_at is not None and too_dear(record):
        return "waiting for your yes to its price"
    if record.in_line:
        return "waiting in line, which costs nothing"
    return "training" if record.wish.ready else _RANKS.get(done.rank, "running")


def _why(record: Record) -> Why | None:
    """Why it is to be gone; None while it is wanted."""
    return record.done.leaving or record.wish.end or (None if record.intent.offers else "stray")


def _at(at_s: float | None) -> datetime | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC)
