"""What happens to one launch, all of it drawn from a seed before it begins."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal

LEASE_S = 600.0
PROVIDERS = ("alpha", "beta", "gamma")
NO_OWN_KEY = "gamma"  # like Lambda: a machine there cannot end itself

# A fault and how often it is drawn, of all launches that have one.
FAULTS = {
    "lost-reply": 8, "error-not-made": 4, "made-late": 4, "connector-bug": 3, "sold-out": 5, "create-429": 3, "not-allowed": 1,
    "phantom": 3, "twins": 4, "namesake": 2, "dearer": 6, "dearer-later": 3, "never-boots": 5, "fails-at-boot": 3, "preempted": 6, "stopped-by-host": 3,
    "list-lags": 10, "list-omits": 5, "list-fails": 5, "list-429": 3, "end-ignored": 6, "end-ignored-long": 3, "end-fails": 5, "end-429": 3,
    "end-done-but-error": 3, "keys-gone": 3, "disk-full": 3, "frozen-trainer": 3, "long-run": 6, "save-hangs": 3, "clock-step": 4, "laptop-off": 5, "laptop-gone": 6,
    "crash": 16, "two-crashes": 4, "frozen-worker": 5, "two-workers": 6, "reboot": 3, "brake-1-off": 5, "brake-2-off": 5, "vault-locked": 3,
}  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """One launch. Times are seconds after its begin, counts are of calls."""

    seed: int
    faults: frozenset[str]
    offers: tuple[tuple[str, Decimal], ...]
    ceiling: Decimal
    budget_usd: Decimal | None
    month_cap_usd: Decimal | None
    lifetime_s: float
    train_s: float
    boot_s: float
    install_s: float
    stop_at_s: float | None
    agrees: bool | None
    agrees_after_s: float
    crashes: tuple[int, ...] = ()
    down_s: tuple[float, ...] = ()
    gone_at_s: float | None = None
    off_at_s: float | None = None
    off_for_s: float = 0.0
    freeze_at: int | None = None
    freeze_s: float = 0.0
    lag_s: float = 0.0
    window: tuple[float, float] = (0.0, 0.0)
    ignored: int = 0
    dearer: Decimal = Decimal(1)
    preempt_after_s: float = 0.0
    clock_step_s: float = 0.0
    clock_step_at_s: float = 0.0
    stall_after_s: float = 0.0
    save_s: float = 30.0
    keep_s: float = 900.0
    overdue_stranger: bool = False
    dice: int = 0
    forced: bool = False

    def has(self, fault: str) -> bool:
        """Whether it happens in this one."""
        return fault in self.faults


def draw(seed: int, *, calm: bool = False, faults: Collection[str] | None = None) -> Scenario:
    """The scenario of a seed. ``calm``: one without a fault. ``faults``: with these instead of those that it draws."""
    roll = random.Random(seed)
    drawn: set[str] = set(faults or ())
    if not calm and faults is None:
        for _ in range(roll.choice((1, 1, 1, 2, 2, 3))):
            drawn |= set(roll.choices(tuple(FAULTS), tuple(FAULTS.values())))
    names = list(PROVIDERS[:2])
    roll.shuffle(names)
    if roll.random() < 0.12:
        names.insert(0, NO_OWN_KEY)
    offers = tuple(
        (name, Decimal(roll.randint(30, 400)) / 100) for name in names for _ in range(roll.choice((1, 1, 2)))
    )
    train_s = roll.uniform(40, 360)
    boot_s, install_s = roll.uniform(5, 70), roll.uniform(5, 70)
    price = max(usd for _, usd in offers)
    tight = roll.random() < 0.15
    whole_s = Decimal(boot_s + install_s + train_s)
    budget = price * whole_s / 3600 * Decimal("0.6") if tight else price * 6 if roll.random() < 0.25 else None
    begin = roll.uniform(0, boot_s + install_s + train_s)
    scenario = Scenario(
        seed, frozenset(drawn), offers, ceiling=price, budget_usd=budget, month_cap_usd=price * 5 if roll.random() < 0.05 else None,
        lifetime_s=roll.uniform(200, 500) if roll.random() < 0.1 else roll.uniform(2400, 7200), train_s=train_s, boot_s=boot_s, install_s=install_s,
        stop_at_s=roll.uniform(0, boot_s + install_s + train_s) if roll.random() < 0.15 else None,
        agrees=roll.choice((True, True, False, None)), agrees_after_s=roll.uniform(5, 200), dice=roll.getrandbits(32), forced=faults is not None,
        overdue_stranger=roll.random() < 0.05, window=(begin, begin + roll.choice((60, 600, 600, 3600))),
    )  # fmt: skip
    return _detail(scenario, roll)


def _detail(scenario: Scenario, roll: random.Random) -> Scenario:
    """The figures of each fault. All are drawn, so that one fault more or less leaves the others as they are."""
    crashes = (roll.randrange(90), roll.randrange(90))
    downs = tuple(roll.choice((5.0, 20.0, 45.0, 300.0, 1800.0)) for _ in range(2))
    life_s = scenario.boot_s + scenario.install_s + scenario.train_s
    gone_at, off_at = roll.uniform(0, life_s), roll.uniform(0, life_s)
    off_for = roll.choice((120.0, 1800.0, 36_000.0))
    freeze_at, freeze_s = roll.randrange(80), roll.choice((15.0, 95.0, 400.0, 2000.0))
    lag, ignored, long_ignored = roll.uniform(10, 60), roll.randint(1, 3), roll.randint(8, 30)
    dearer = Decimal(roll.randint(105, 200)) / 100
    preempt, stall = roll.uniform(0, life_s), roll.uniform(0, scenario.train_s)
    step, step_at = roll.choice((-86_400.0, -3600.0, 3600.0, 86_400.0)), roll.uniform(0, life_s)
    save_s, keep_s = roll.choice((15.0, 40.0, 90.0, 150.0, 400.0)), roll.choice((900.0, 900.0, 3600.0))
    long_s, cut, by_budget = roll.uniform(900, 2700), roll.uniform(0.4, 0.9), roll.random() < 0.5
    has = scenario.has
    if has("long-run"):  # one of the caps comes before its end
        whole_s, price = scenario.boot_s + scenario.install_s + long_s, max(usd for _, usd in scenario.offers)
        scenario = replace(
            scenario, train_s=long_s, budget_usd=price * Decimal(whole_s * cut) / 3600 if by_budget else None,
            lifetime_s=scenario.lifetime_s if by_budget else whole_s * cut,
        )  # fmt: skip
    return replace(
        scenario, save_s=float("inf") if has("save-hangs") else save_s, keep_s=keep_s,
        crashes=tuple(sorted(crashes)) if has("two-crashes") else crashes[:1] if has("crash") or has("reboot") else (),
        down_s=downs, gone_at_s=gone_at if has("laptop-gone") else None, off_at_s=off_at if has("laptop-off") else None,
        off_for_s=off_for, freeze_at=freeze_at if has("frozen-worker") else None, freeze_s=freeze_s,
        lag_s=lag if has("list-lags") else min(lag, 3.0), ignored=long_ignored if has("end-ignored-long") else ignored if has("end-ignored") else 0,
        dearer=dearer, preempt_after_s=preempt, stall_after_s=stall, clock_step_s=step if has("clock-step") else 0.0, clock_step_at_s=step_at,
    )  # fmt: skip
