"""What rented machines have cost and cost now, as a user meets it. Pure: from the lives of machines; who wrote those down is not known here.

Days, weeks (from Monday) and months are those of UTC, as the providers count. What a provider has charged is billed; the rest is our own
count by its rules, and is said to be an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from peft_studio.core.compute.billing import GB, MONTH_HOURS
from peft_studio.core.compute.ledger import Life, Total, cost, day_began_s, month_began_s, total, total_by
from peft_studio.core.markup import block, escape, facts, table, visible
from peft_studio.core.words import usd

if TYPE_CHECKING:
    import pandas

EVER_S = float("inf")
DAYS = 14
NO_RUN = "no run of this home"


@dataclass(frozen=True, slots=True)
class Day:
    """One day in UTC; ``date`` as ``2026-11-26``."""

    date: str
    by_provider: Mapping[str, Total]

    @property
    def total(self) -> Total:
        """All providers together."""
        return sum(self.by_provider.values(), Total())


@dataclass(frozen=True, slots=True)
class Meter:
    """What a machine costs an hour as it stands now, its disk included."""

    provider: str
    run_id: str
    instance_id: str
    usd_per_hour: Decimal


@dataclass(frozen=True, slots=True)
class Spend:
    """``studio.spend()``.

    Attributes:
        today, week, month, ever: Dollars, and how many of them are billed.
        by_provider: This month.
        by_run: Since ever, by the run's id; ``""`` for machines that belong to no run of this home.
        by_day: The last fourteen days, oldest first.
        usd_per_epoch: Of runs whose epochs are known: what was spent, by epochs trained so far, start and saving included.
        meters: What runs now.
        cap_usd: Of the month; None without one. left_usd: What it leaves.
    """

    today: Total
    week: Total
    month: Total
    ever: Total
    by_provider: Mapping[str, Total]
    by_run: Mapping[str, Total]
    by_day: Sequence[Day]
    usd_per_epoch: Mapping[str, Decimal]
    meters: Sequence[Meter]
    cap_usd: Decimal | None
    lives: Sequence[Life]
    now_s: float
    notes: Sequence[str] = ()

    @property
    def usd_per_hour(self) -> Decimal:
        """What all machines together cost an hour now."""
        return sum((meter.usd_per_hour for meter in self.meters), Decimal(0))

    @property
    def left_usd(self) -> Decimal | None:
        """What the cap of the month leaves."""
        return None if self.cap_usd is None else self.cap_usd - self.month.usd

    def to_pandas(self) -> pandas.DataFrame:
        """One row a machine: run, provider, when, dollars, and what of them is billed. Decimals; times aware, UTC."""
        import pandas

        columns = ["run", "provider", "instance", "began_at", "ended_at", "usd", "billed_usd"]
        return pandas.DataFrame([self._row(life) for life in self.lives], columns=columns)

    def _row(self, life: Life) -> tuple[object, ...]:
        whole = cost(life, -EVER_S, EVER_S, now_s=self.now_s)
        ended = _at(life.stretches[-1].begin_s) if life.stretches[-1].billed == "nothing" else None
        return (life.run_id, life.provider, life.instance_id, _at(life.stretches[0].begin_s), ended, whole.usd, whole.billed_usd)  # fmt: skip

    def __repr__(self) -> str:
        spans = [f"{name:<12}{say_total(of)}" for name, of in self._spans()]
        rows = [*self._providers(), *self._runs()]
        wide = max((len(name) for name, _ in rows), default=0)
        by = [f"  {name:<{wide}}  {text}" for name, text in rows]
        return "\n".join([*spans, *([""] if by else []), *map(visible, by), *map(visible, self._footer())])

    def _repr_html_(self) -> str:
        parts = [facts([(name, say_total(of)) for name, of in self._spans()])]
        if self.by_provider:
            parts.append(table(("this month", "spent"), self._providers()))
        if self.by_run:
            parts.append(table(("run", "spent"), self._runs()))
        return block([*parts, *(f"<div>{escape(line)}</div>" for line in self._footer())])

    def _spans(self) -> list[tuple[str, Total]]:
        return [("today", self.today), ("this week", self.week), ("this month", self.month), ("ever", self.ever)]

    def _providers(self) -> list[tuple[str, str]]:
        return [(name, say_total(of)) for name, of in self.by_provider.items()]

    def _runs(self) -> list[tuple[str, str]]:
        return [(run_id or NO_RUN, say_total(of) + self._epoch(run_id)) for run_id, of in self.by_run.items()]

    def _epoch(self, run_id: str) -> str:
        each = self.usd_per_epoch.get(run_id)
        return "" if each is None else f", {usd(each)} an epoch"

    def _footer(self) -> list[str]:
        now = (
            f"{len(self.meters)} on the meter, {usd(self.usd_per_hour)}/h" if self.meters else "Nothing is on the meter"
        )
        if self.cap_usd is None:
            cap = "No cap for the month: studio.spend_cap = 50 sets one."
        else:
            left = self.left_usd or Decimal(0)
            cap = f"Cap of the month {usd(self.cap_usd)}, " + (f"{usd(left)} left." if left > 0 else "used up.")
        return [f"{now}. {cap}", *self.notes]


def say_total(of: Total) -> str:
    """``$1.20 billed``, ``$1.20 estimated``, ``$1.20, of it $0.80 billed``."""
    if not of.usd:
        return "$0"
    if not of.is_estimate:
        return f"{usd(of.usd)} billed"
    return f"{usd(of.usd)}, of it {usd(of.billed_usd)} billed" if of.billed_usd else f"{usd(of.usd)} estimated"


def build_spend(
    lives: Sequence[Life],
    now_s: float,
    *,
    cap_usd: Decimal | None = None,
    epochs: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
) -> Spend:
    """The whole of it. ``epochs``: how many each run has trained, where that is known."""
    today_s, month_s = day_began_s(now_s), month_began_s(now_s)
    week_s = day_began_s(now_s, days_before=datetime.fromtimestamp(now_s, UTC).weekday())

    def since(begin_s: float) -> Total:
        return total(lives, begin_s, EVER_S, now_s=now_s)

    by_run = total_by(lives, -EVER_S, EVER_S, now_s=now_s, of=lambda life: life.run_id)
    by_provider = total_by(lives, month_s, EVER_S, now_s=now_s, of=lambda life: life.provider)
    each = {
        run_id: by_run[run_id].usd / Decimal(str(trained))
        for run_id, trained in (epochs or {}).items()
        if trained > 0 and run_id in by_run
    }
    return Spend(
        today=since(today_s),
        week=since(week_s),
        month=since(month_s),
        ever=since(-EVER_S),
        by_provider={name: of for name, of in sorted(by_provider.items()) if of.usd},
        by_run=dict(reversed(by_run.items())),
        by_day=[_day(lives, now_s, before) for before in reversed(range(DAYS))],
        usd_per_epoch=each,
        meters=[meter for life in lives if (meter := build_meter(life))],
        cap_usd=cap_usd,
        lives=tuple(lives),
        now_s=now_s,
        notes=tuple(notes),
    )


def _day(lives: Sequence[Life], now_s: float, days_before: int) -> Day:
    begin_s = day_began_s(now_s, days_before=days_before)
    end_s = day_began_s(now_s, days_before=days_before - 1)
    totals = total_by(lives, begin_s, end_s, now_s=now_s, of=lambda life: life.provider)
    return Day(f"{_at(begin_s):%Y-%m-%d}", {name: of for name, of in sorted(totals.items()) if of.usd})


def build_meter(life: Life) -> Meter | None:
    """What a machine costs an hour now; None once it costs nothing."""
    last = life.stretches[-1]
    if last.billed == "nothing":
        return None
    disk = life.rules.storage_usd_per_gb_month * Decimal(str(life.disk_bytes)) / GB / MONTH_HOURS
    return Meter(
        life.provider, life.run_id, life.instance_id, disk + (last.usd_per_hour if last.billed == "all" else Decimal(0))
    )


def _at(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
