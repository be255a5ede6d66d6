"""The auditor: knows the truth of every machine, counts its own invoice, and says which promise was broken."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from peft_studio.core.compute.ledger import cost
from peft_studio.core.services.rent.limits import LIMITS
from peft_studio.core.services.rent.meter import EVER_S, build_lives
from tests.simulator.machine import FOR_EVER_S, NODE_AGAIN_S, Machine
from tests.simulator.scenario import LEASE_S, NO_OWN_KEY

if TYPE_CHECKING:
    from peft_studio.core.services.rent.record import Record
    from tests.simulator.world import World

SLACK_S = 120.0
SHORT_S = 60.0  # an outage that is no longer takes no brake away
PATIENCE_S = 90.0
DRIVER_S = 30.0
SECOND_S = 240.0
LOOKS_S = 110.0  # until a price is seen, an answer given, and that acted on: 30 s each
DOUBT_S = 60.0
SAVE_LOOKS_S = 90.0  # until a cap is seen to be near, the machine is asked to save, and that it did is seen: 30 s each


class Audit:
    """``broken``: promises that were not kept, each with what was seen; empty when all is well."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.broken: dict[str, str] = {}
        self.trained = False
        self.late: set[str] = set()  # labels whose create was sent after their record was closed
        self.ended_at: dict[str, float] = {}
        self.leaked_s = self.without_brakes_s = 0.0
        self.unowned: list[tuple[Machine, float]] = []
        self.measured: list[tuple[str, float, float]] = []  # what was bounded, how long it was, how long it may be

    def find(self, instance_id: str) -> Machine | None:
        """A machine by its id."""
        return next((one for one in self.machines() if one.id == instance_id), None)

    def machines(self) -> list[Machine]:
        """All that were ever there."""
        return [one for cloud in self.world.clouds.values() for one in cloud.machines]

    def blame(self, promise: str, seen: str) -> None:
        """A promise was broken. The first time is kept."""
        self.broken.setdefault(promise, f"at {self.world.clock.true_s:.0f} s: {seen}")

    def end_wanted(self, label: str) -> None:
        """From now on nobody wants the machines of that name."""
        self.ended_at.setdefault(label, self.world.clock.true_s)

    # -- at a create

    def on_create(self, label: str) -> None:
        """A request that can buy reaches a provider."""
        world, store = self.world, self.world.store
        record = store.find(label)
        if record is not None and not record.open and world.froze_in_send:
            self.late.add(
                label
            )  # frozen between the last look at the clock and the sending: nothing here can hold that back
            return
        if record is None or not record.open or record.done.asked_at is None:
            self.blame("intent before effect", f"{label} is bought without a record that says so")
            return
        if any(label == bought for cloud in world.clouds.values() for bought, _ in cloud.submitted):
            self.blame("one create a label", f"{label} is asked for again")
        if record.wish.end is not None and not world.froze_in_send:
            self.blame("nothing is bought after stop", label)
        late_s = world.clock.now().past(record.intent.at)
        if (
            late_s > record.intent.launch_by_s + SHORT_S
            and not world.scenario.has("reboot")
            and not world.froze_in_send
        ):
            self.blame("nothing is bought the morning after", f"{label} after {late_s:.0f} s")
        for machine in self.machines():
            machine.settle(world.clock.true_s)
            if (
                machine.whose == "ours"
                and machine.label not in self.late
                and machine.ended_s == FOR_EVER_S
                and machine.stopped_s > world.clock.true_s
            ):
                self.blame("no second machine before the first is gone", f"{machine.id} lives while {label} is bought")
            unasked = machine.ended_by == "node" and not machine.asked_to_end and machine.ended_s < machine.let_go_s
            late = world.scenario.has("disk-full")  # that it runs was written down when it had long been running
            if machine.whose == "ours" and unasked and self._is_kept(machine) and not late:
                self.blame("nothing is bought because one ended itself", f"{machine.id} did, and {label} is bought")

    # -- after every step of a process

    def look(self) -> None:
        """Every machine that lives has an open record, whatever was killed when."""
        now_s, world = self.world.clock.true_s, self.world
        for cloud in world.clouds.values():
            for machine in cloud.machines:
                if machine.ended_s != FOR_EVER_S or machine.whose != "ours" or machine.created_s > now_s:
                    continue
                if machine.label in self.late:
                    continue
                machine.settle(now_s)
                record = world.store.find(machine.label)
                if machine.ended_s == FOR_EVER_S and (record is None or not record.open):
                    self.blame("nothing is forgotten", f"{machine.id} lives and has no open record")

    def run_is_over(self) -> bool:
        """Whether the run-level has nothing more to do."""
        records = self.world.store.list_run()
        return bool(records) and not any(record.open for record in records)

    # -- at the end

    def close(self) -> None:
        """What can only be told once all is over."""
        world = self.world
        home_is_back = not world.outages or world.outages[-1][1] != FOR_EVER_S
        ours = [one for one in self.machines() if one.whose == "ours"]
        for machine in ours:
            self._check_unowned(machine)
            if home_is_back and machine.ended_s == FOR_EVER_S and machine.label not in self.late:
                self.blame("nothing is forgotten", f"{machine.id} lives for ever")
        if home_is_back and not world.over:
            self.blame("it comes to an end", "after three days something is still open")
        self._check_strangers()
        self._check_money(ours)
        self._check_patience()
        self._check_saving()
        if home_is_back and not self.trained and not self._may_fail():
            self.blame("a run that can complete does", self._last_words())

    def _last_words(self) -> str:
        return ", ".join(f"{record.done.leaving}: {record.done.trouble[:60]}" for record in self.world.store.list_run())

    def failed_brakes(self, machine: Machine) -> set[int]:
        """Which of the brakes 1 to 3 cannot work for this machine."""
        scenario, failed = self.world.scenario, set[int]()
        if machine.provider == NO_OWN_KEY or machine.running_s == FOR_EVER_S:
            failed |= {1, 2}
        failed |= {1, 2} - machine.brakes
        begin_s, end_s = scenario.window
        alive = (machine.created_s, machine.ended_s)
        away = list(self.world.outages)
        if any(map(scenario.has, ("list-fails", "list-429", "end-fails", "end-429", "keys-gone", "disk-full"))):
            away.append((begin_s, end_s))
        if any(min(end, alive[1]) - max(begin, alive[0]) > SHORT_S for begin, end in away):
            failed.add(3)
        if scenario.has("frozen-worker") and scenario.freeze_s > SHORT_S:
            failed.add(3)
        return failed

    def unowned_since(self, machine: Machine) -> float:
        """From when on nobody wants that this machine costs money. Training that goes on is wanted by its node until a stop can reach it."""
        if machine.running_s == FOR_EVER_S:
            lease_s = machine.created_s + PATIENCE_S
        else:
            lease_s = max(machine.trained_s, machine.renewed_s, machine.running_s)
            if machine.has_ended(lease_s + LEASE_S):  # its result is kept for whoever fetches it, as was chosen
                lease_s += machine.keep_s - LEASE_S
        failed, since = self.failed_brakes(machine), [lease_s]
        if not failed >= {2, 3}:
            since.append(machine.created_s + machine.lifetime_s)
        if 3 not in failed:
            record = self.world.store.find(machine.label)
            since.append(self.ended_at.get(machine.label, FOR_EVER_S))
            if self._is_spare(machine) or (record is not None and record.done.instance_id not in {"", machine.id}):
                since.append(machine.created_s)
        return max(min(since), machine.created_s)

    def _is_kept(self, machine: Machine) -> bool:
        """Whether it is the machine of its name that was to train, or was that without anybody knowing of it: no second one."""
        record = self.world.store.find(machine.label)
        return record is not None and record.done.instance_id in {"", machine.id}

    def _is_spare(self, machine: Machine) -> bool:
        """A second one of its name. Where the first was taken away before any list had it, the second is the one that is kept."""
        record = self.world.store.find(machine.label)
        return machine.extra and (record is None or record.done.instance_id != machine.id)

    def _check_unowned(self, machine: Machine) -> None:
        scenario, now_s = self.world.scenario, self.world.clock.true_s
        end_s = min(machine.ended_s, now_s, machine.stopped_s)
        unowned_s = max(0.0, end_s - self.unowned_since(machine))
        self.leaked_s += unowned_s
        failed = self.failed_brakes(machine)
        if self._is_spare(machine) and not failed and not scenario.ignored and unowned_s > SECOND_S:
            self.blame("a second of the same name goes at once", f"{machine.id} for {unowned_s:.0f} s")
        stubborn_s = scenario.ignored * NODE_AGAIN_S if scenario.ignored > 3 else 0.0  # home asks more often than that
        if failed >= {1, 2, 3}:
            self.without_brakes_s += unowned_s  # nothing can end it but a home that comes back: counted, and shown
        else:
            measured, seconds, bound_s = self._measure(machine, failed, unowned_s)
            self.measured.append((measured, seconds, bound_s))
            if seconds > bound_s + stubborn_s:
                promise = "paid no longer than its life" if failed >= {1, 3} else "unowned no longer than a lease"
                self.blame(promise, f"{machine.id} for {seconds:.0f} s, brakes {sorted(failed)} off")
        self.unowned.append((machine, unowned_s))

    def _measure(self, machine: Machine, failed: set[int], unowned_s: float) -> tuple[str, float, float]:
        """What a promise bounds of this machine: a name for its like, the seconds, and how many they may be."""
        if failed >= {1, 3}:
            end_s = min(machine.ended_s, self.world.clock.true_s, machine.stopped_s)
            return "brake 2 alone, paid", max(0.0, end_s - machine.running_s), machine.lifetime_s + SLACK_S
        left = {1: "one brake failed", 2: "two brakes failed, a lease is left"}
        return left.get(len(failed), "no brake failed"), unowned_s, LEASE_S + SLACK_S

    def _check_strangers(self) -> None:
        touched = [name for cloud in self.world.clouds.values() for name in cloud.touched]
        for machine in self.machines():
            if machine.whose == "other" and machine.id in touched:
                self.blame("what is not ours is not touched", machine.id)
        shown = {stray.instance_id for stray in self.world.store.list_strays()}
        for cloud in self.world.clouds.values():
            shows = f"{cloud.name}-x2" in shown
            if cloud.listed and not shows and not self.world.outages and not self._may_be_blind():
                self.blame("strays are shown", f"{cloud.name}-x2 is another home's")

    def _check_money(self, ours: list[Machine]) -> None:
        world, scenario = self.world, self.world.scenario
        truth = sum((one.invoice_usd(world.clock.true_s) for one in ours), Decimal(0))
        if (
            scenario.budget_usd is not None
            and not scenario.has("dearer")
            and not scenario.has("dearer-later")
            and not scenario.has("twins")
        ):
            failed = set().union(*map(self.failed_brakes, ours)) if ours else set()
            rate = max(usd for _, usd in scenario.offers)
            spare_s = LIMITS.calm_s + SHORT_S if not failed else scenario.boot_s + 2 * SLACK_S
            if 3 not in failed or len(failed) == 1:
                allowed = scenario.budget_usd + rate * Decimal(spare_s) / 3600
                if truth > allowed and not scenario.ignored:
                    self.blame("the budget holds", f"{truth:.3f} of {scenario.budget_usd:.3f}")
        self._check_price(ours)
        if world.over:
            self._check_ledger(ours)

    def _check_price(self, ours: list[Machine]) -> None:
        scenario = self.world.scenario
        if any(map(scenario.has, ("disk-full", "keys-gone", "frozen-worker", "list-fails", "list-429"))):
            return  # nobody could see the price, or put the question down
        for machine in ours:
            if scenario.agrees or 3 in self.failed_brakes(machine) or scenario.ignored or machine.extra:
                continue
            end_s = min(machine.ended_s, self.world.clock.true_s)
            dear_s = sum(max(0.0, end_s - since) for since, usd in machine.prices[-1:] if usd > scenario.ceiling)
            if (
                dear_s
                > (scenario.agrees_after_s if scenario.agrees is False else LIMITS.ask_s)
                + LOOKS_S
                + DOUBT_S * self._in_doubt()
                + LIMITS.hold_s * bool(scenario.crashes)  # a dead worker's turn is waited for
            ):
                self.blame("a higher price asks first", f"{machine.id} for {dear_s:.0f} s")

    def _in_doubt(self) -> bool:
        return any(
            map(
                self.world.scenario.has, ("lost-reply", "made-late", "connector-bug", "list-lags", "end-done-but-error")
            )
        )

    def _may_be_blind(self) -> bool:
        return any(
            map(
                self.world.scenario.has,
                ("disk-full", "list-fails", "list-429", "keys-gone", "two-crashes", "frozen-worker"),
            )
        )

    def _check_patience(self) -> None:
        """A machine that gets on, or keeps a result that nobody has fetched yet, is not ended for want of progress."""
        for record in self.world.store.list_run():
            machine, at = self.find(record.done.instance_id), record.done.leaving_at
            if machine is None or at is None or record.done.leaving != "no-progress":
                continue
            wanted_s = machine.trained_s + (machine.keep_s if machine.completes else 0.0)
            gets_on = machine.ready_s + DRIVER_S < at.steady_s < min(wanted_s, machine.ended_s, machine.stopped_s)
            if gets_on and not any(map(self.world.scenario.has, ("frozen-worker", "disk-full"))):
                self.blame("a machine that gets on is left alone", machine.id)

    def _check_saving(self) -> None:
        """A cap that ends a machine at work has had it save before, in time, and not long before either."""
        for record in self.world.store.list_run():
            machine, done = self.find(record.done.instance_id), record.done
            if machine is None or self.failed_brakes(machine) & {3} or self._sees_badly():
                continue
            lead_s = min(LIMITS.save_s, record.intent.lifetime_s / 4)
            if done.leaving in {"budget", "lifetime"} and done.leaving_at is not None:
                until_s = min(done.leaving_at.steady_s, machine.ended_s)
                trained = machine.ready_s + DRIVER_S < until_s - lead_s and machine.trained_s >= min(
                    until_s, machine.stopping_s
                )
                in_time = self.world.scenario.save_s + SAVE_LOOKS_S <= lead_s
                taken = machine.ended_by == "provider" and machine.ended_s <= until_s
                if trained and in_time and machine.saved_s > until_s and not taken:
                    self.blame(
                        "what was learned is saved before a cap ends it",
                        f"{machine.id}: {done.leaving} at {until_s:.0f} s",
                    )
            first = record.intent.attempt == 1  # of one that vanished the estimate counts on until that is proven
            if (
                first and done.saving in {"budget", "lifetime"} and done.saving_at is not None
                and self._left_s(record, machine, done.saving_at.steady_s) > lead_s + SAVE_LOOKS_S
            ):  # fmt: skip
                self.blame("a machine that gets on is left alone", f"{machine.id} is stopped long before its cap")

    def _left_s(self, record: Record, machine: Machine, at_s: float) -> float:
        """How long its caps still pay for it, by the true invoice."""
        scenario, asked_at = self.world.scenario, record.done.asked_at
        left = [record.intent.lifetime_s - (at_s - asked_at.steady_s)] if asked_at else []
        spent = sum((one.invoice_usd(at_s) for one in self.machines() if one.whose == "ours"), Decimal(0))
        for cap in (scenario.budget_usd, scenario.month_cap_usd):
            if cap is not None:
                left.append(
                    float((cap - spent) / machine.price_at(max(at_s, machine.created_s)) * 3600)
                    - LIMITS.calm_s
                    - LIMITS.spare_s
                )
        return min(left)

    def _sees_badly(self) -> bool:
        """Whether this scenario keeps the home from seeing, writing down or counting in time."""
        return self._may_be_blind() or any(
            map(
                self.world.scenario.has,
                (
                    "crash",
                    "reboot",
                    "clock-step",
                    "dearer",
                    "dearer-later",
                    "twins",
                    "namesake",
                    "frozen-trainer",
                    "laptop-off",
                ),
            )
        )

    def _check_ledger(self, ours: list[Machine]) -> None:
        store = self.world.store
        now = self.world.clock.now()
        records = store.list_run()
        lives = build_lives(records, store.read_meter())
        known = {
            life.instance_id for life in lives
        }  # a machine that ended itself before any list showed it is in the invoice alone
        ours = [one for one in ours if one.id in known]
        truth = sum((one.invoice_usd(self.world.clock.true_s) for one in ours), Decimal(0))
        ours_usd = sum((cost(life, -EVER_S, EVER_S, now_s=now.wall_s).usd for life in lives), Decimal(0))
        if self.world.scenario.has("clock-step") and self.world.scenario.has("reboot"):
            return  # set back and started anew: nothing here knows how long that took
        if self.world.scenario.has("dearer-later") and any(3 in self.failed_brakes(one) for one in ours):
            return  # the new price was never seen; the provider's charge will say it
        spread_s = len(ours) * 40 + 10
        rate = max((usd for one in ours for _, usd in one.prices), default=Decimal(0))
        if ours_usd < truth - rate * Decimal(spread_s) / 3600:
            self.blame("the ledger does not flatter", f"{ours_usd:.3f} where the invoice is {truth:.3f}")

    def _was_word_late(self, record: Record) -> bool:
        """Whether it was heard too long ago by what is on disk alone. Half a lease lies between two words there, ten seconds in the product."""
        machine, at = self.find(record.done.instance_id), record.done.leaving_at
        if at is None or not self.world.scenario.has("reboot"):
            return False  # its absence was proven at once, and not anew
        if (
            machine is None
        ):  # none was ever made; that no list had it since the order was not written down, and had to be seen twice more
            return not record.done.instance_id and len(self.world.outages) > 1
        return at.steady_s - machine.renewed_s >= LIMITS.unheard_s - LEASE_S / 2 - DRIVER_S

    def _gave_up(self) -> bool:
        """Whether one machine after the other came to nothing, as often as is tried."""
        intents = [record.intent for record in self.world.store.list_run() if record.intent.attempt]
        return bool(intents) and intents[-1].failed_before + 1 >= intents[-1].most_failed

    def _may_fail(self) -> bool:
        """Whether this scenario gives a run that does not complete a good reason."""
        scenario = self.world.scenario
        downs = scenario.down_s[: len(scenario.crashes)]
        # Away more than once, or started anew, which begins the proof of an absence anew: that is as long as nothing was heard.
        away_s = sum(end - begin for begin, end in self.world.outages)
        silent = [record for record in self.world.store.list_run() if record.done.leaving == "unheard"]
        unheard = bool(silent) and (away_s > 240 or any(map(self._was_word_late, silent)))
        return (
            unheard or scenario.lifetime_s < 2000 or self._gave_up() or {"clock-step", "reboot"} <= scenario.faults
            or (scenario.has("frozen-worker") and (scenario.freeze_s > 600 or scenario.crashes)) or any(end - begin > 600 for begin, end in self.world.outages)
            or any(down_s > 600 for down_s in downs) or scenario.stop_at_s is not None or scenario.budget_usd is not None or scenario.month_cap_usd is not None or scenario.has("long-run")
            or any(map(scenario.has, (
                "not-allowed", "frozen-trainer", "dearer", "dearer-later", "list-fails", "list-429", "end-fails", "end-429", "keys-gone", "disk-full",
                "vault-locked", "laptop-off", "sold-out", "end-ignored-long",
            )))
        )  # fmt: skip


def count_broken(audits: list[Audit]) -> Counter[str]:
    """How often each promise was broken."""
    return Counter(promise for audit in audits for promise in audit.broken)
