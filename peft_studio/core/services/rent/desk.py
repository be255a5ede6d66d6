"""Where rented machines are ordered, stopped and looked at. It writes down what is wanted; whoever watches does it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from decimal import Decimal

from peft_studio.core.compute.ledger import Life, Total, month_began_s, total
from peft_studio.core.errors import OverBudget, RentError
from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.rent.again import AS_BEFORE, NewCaps, read_again
from peft_studio.core.services.rent.alarms import Alarm, build_alarms
from peft_studio.core.services.rent.limits import LIMITS
from peft_studio.core.services.rent.meter import EVER_S, build_lives, left_usd, sum_usd
from peft_studio.core.services.rent.moment import Now, read_now
from peft_studio.core.services.rent.record import IDLE_S, KEEP_S, Intent, Record, Why
from peft_studio.core.services.rent.replies import build_intent
from peft_studio.core.services.rent.store import Bill, Store, Stray
from peft_studio.core.services.rent.sweep import adopt


class Desk:
    """The rented machines of one home."""

    def __init__(self, store: Store, *, now: Now = read_now) -> None:
        self.store, self.now = store, now

    def order(
        self,
        run_id: str,
        offers: Sequence[Offer],
        *,
        max_usd_per_hour: Decimal | None = None,
        budget_usd: Decimal | None = None,
        lifetime_s: float = 86_400.0,
        keep_s: float = KEEP_S,
        idle_s: float | None = IDLE_S,
    ) -> Record:
        """Write down that a machine is wanted for a run. Nothing is bought here.

        Args:
            offers: The one to take, then those to fall back on, in order.
            max_usd_per_hour: Above this a person is asked first; else the dearest of the offers.
            budget_usd: Cap of the run over all its machines.
            lifetime_s: The machine's hard end, shortened to what the caps pay for.
            keep_s, idle_s: See :class:`Intent`.

        Raises:
            OverBudget: The caps leave less than two minutes of it.
            RentError: The run has a machine that is not proven gone, or the disk does not take it.
        """
        if not offers:
            raise ValueError("an order needs an offer")
        before = self.store.list_run(run_id)
        if any(record.open for record in before):
            raise RentError(f"Run {run_id} has a machine.", hint="One that ends is followed up by itself.")
        now = self.now()
        draft = Intent(
            "", run_id, len(before) + 1, offers[0].provider, now, tuple(offers), budget_usd=budget_usd, lifetime_s=lifetime_s,
            max_usd_per_hour=max(offer.usd_per_hour for offer in offers) if max_usd_per_hour is None else max_usd_per_hour,
            keep_s=keep_s, idle_s=idle_s,
        )  # fmt: skip
        left = left_usd(self.store, Record(draft), now)
        intent = build_intent(draft, home=self.store.home_tag(), left_usd=left)
        if left is not None and intent.lifetime_s < LIMITS.loud_s:
            raise OverBudget(
                f"{offers[0].provider} at ${offers[0].usd_per_hour}/h: the caps leave ${max(left, Decimal(0)):.2f}, and that is less than two minutes.",
                hint=self._say_raise(left),
            )
        return self.store.put(intent)

    def order_again(self, run_id: str, new: NewCaps = AS_BEFORE) -> Record:
        """Write down that a machine is wanted for a run that goes on: on the offers that it had, with the caps that it had, but for what is new.

        Raises:
            OverBudget: Its cap, or the month's, does not pay for that.
            RentError: As in :meth:`order`.
        """
        last = next((one.intent for one in reversed(self.store.list_run(run_id)) if one.intent.offers), None)
        if last is None:
            raise RentError(
                f"Of run {run_id} no machine is on record.", hint="studio.launch(run.spec, compute=…) starts it anew."
            )
        caps = read_again(last, new, spent_usd=self.spent_usd(run_id))
        return self.order(
            run_id, last.offers, budget_usd=caps.budget_usd, lifetime_s=caps.lifetime_s, keep_s=caps.keep_s, idle_s=caps.idle_s
        )  # fmt: skip

    def spent_usd(self, run_id: str) -> Decimal:
        """What a run has cost so far, over all its machines."""
        now = self.now()
        lives = build_lives(
            self.store.list_run(run_id), self.store.read_meter(run_id), self.store.read_bills(), now=now
        )
        return sum_usd(lives, now)

    def _say_raise(self, left: Decimal) -> str:
        """Which cap stands in the way."""
        if self.left_of_month_usd() == left:
            return "The cap of the month stands in the way: studio.spend_cap raises it. Or take a cheaper offer."
        return "Raise the cap of the run, or take a cheaper offer."

    def end(self, run_id: str, why: Why = "stopped") -> None:
        """Have every machine of a run gone, whatever becomes of it, and no further one bought."""
        while left := [one for one in self.store.list_run(run_id) if one.open and one.wish.end is None]:
            for record in left:  # and then again: an attempt may have been followed up meanwhile
                self.store.wish_end(record.label, why)

    def agree(self, label: str, usd_per_hour: Decimal) -> None:
        """A person takes the machine at this price."""
        self.store.wish_price(label, usd_per_hour)

    def alarms(self) -> list[Alarm]:
        """What a person has to know now."""
        return build_alarms(self.store.list_open(), self.store.list_strays(), self.now())

    def end_stray(self, stray: Stray) -> None:
        """Have a machine gone that no record here stands for, because a person said so."""
        if self.store.find(stray.label) is None:
            with contextlib.suppress(ValueError):  # another process was quicker
                self.store.put(adopt(stray, self.now()))

    def lives(self) -> list[Life]:
        """Every machine that was ever rented from this home, with how it was billed."""
        return build_lives(self.store.list_run(), self.store.read_meter(), self.store.read_bills(), now=self.now())

    def lives_of(self, record: Record) -> list[Life]:
        """Those of one record: its machine, and a second of its name where there was one."""
        readings = self.store.read_meter(record.intent.run_id)
        return build_lives([record], readings, self.store.read_bills(), now=self.now())

    def spend(self, begin_s: float = -EVER_S, end_s: float = EVER_S) -> Total:
        """What was spent in a span, in seconds since 1970."""
        return total(self.lives(), begin_s, end_s, now_s=self.now().wall_s)

    def left_of_month_usd(self) -> Decimal | None:
        """What the cap of the month leaves; None without one."""
        cap = self.store.month_cap()
        return None if cap is None else cap - self.spend(month_began_s(self.now().wall_s)).usd

    def add_bills(self, bills: Sequence[Bill]) -> None:
        """Keep what a provider says that it charged: it takes the place of the estimate for its time."""
        self.store.add_bills(bills)
