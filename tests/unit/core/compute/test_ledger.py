"""The ledger says what an auditor's own invoice says, to the cent, whatever a machine's life was."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

from peft_studio.core.compute.billing import BillingRules
from peft_studio.core.compute.ledger import (
    Life,
    Paid,
    Stretch,
    Total,
    cost,
    day_began_s,
    month_began_s,
    split,
    total_by,
)

EVER = float("inf")
LIVES = 10_000


def draw_life(roll: random.Random) -> tuple[Life, float]:
    """A machine that starts, stops, starts again and changes its price, billed by the second, the minute or the hour."""
    rules = BillingRules(
        granularity_s=roll.choice((1, 60, 60, 3600)), minimum_s=roll.choice((0, 0, 60, 600)),
        storage_usd_per_gb_month=roll.choice((Decimal(0), Decimal("0.1"), Decimal("0.2"))),
    )  # fmt: skip
    at, stretches = float(roll.randrange(1_780_000_000, 1_790_000_000)), []
    for _ in range(roll.randint(1, 6)):
        price = Decimal(roll.randint(1, 900)) / 100
        stretches.append(Stretch(at, roll.choice(("all", "all", "all", "storage")), price))
        at += roll.choice((roll.randint(1, 50), roll.randint(60, 20_000), roll.random() * 5000))
    if roll.random() < 0.8:
        stretches.append(Stretch(at, "nothing"))
    return Life("i", "r", "alpha", rules, tuple(stretches), disk_bytes=roll.choice((0.0, 40e9))), at


def invoice(life: Life, until: float) -> Decimal:
    """An auditor's count, written apart: it walks along the life unit by unit, as a meter would."""
    rules, usd, unit = life.rules, Decimal(0), life.rules.granularity_s
    spans = [
        (s.begin_s, life.stretches[n + 1].begin_s if n + 1 < len(life.stretches) else until, s.billed, s.usd_per_hour)
        for n, s in enumerate(life.stretches)
    ]
    kept = sum(end - begin for begin, end, billed, _ in spans if billed != "nothing")
    usd += rules.storage_usd_per_gb_month * Decimal(life.disk_bytes) / 10**9 * Decimal(kept) / 3600 / 730
    owed, runs = float(rules.minimum_s), []
    for begin, end, billed, price in spans:
        if billed != "all":
            continue
        if runs and runs[-1][-1][1] == begin:
            runs[-1].append((begin, end, price))
        else:
            runs.append([(begin, end, price)])
    for run in runs:
        begin, end = run[0][0], run[-1][1]
        if end <= begin:
            continue
        stop = max(end, begin + owed)
        owed = max(0.0, owed - (stop - begin))
        at, count = begin, 0
        while at < stop - 5e-7:
            price = [p for b, _, p in run if b <= at + 5e-7][-1]
            usd += price * unit / 3600
            count += 1
            at = begin + count * unit
    return usd


def test_it_equals_an_auditors_invoice_over_ten_thousand_lives() -> None:
    """Restarts, prices that change, stopped machines whose disk is billed, started minutes and hours, minimums."""
    roll, wrong, storage = random.Random(6), [], 0
    for number in range(LIVES):
        life, until = draw_life(roll)
        if life.rules.granularity_s == 1:  # a second-by-second walk of a thousand hours takes too long for too little
            life = Life("i", "r", "alpha", life.rules, life.stretches[-2:], disk_bytes=life.disk_bytes)
        ours, theirs = cost(life, -EVER, EVER, now_s=until).usd, invoice(life, until)
        storage += any(stretch.billed == "storage" for stretch in life.stretches)
        if round(ours, 2) != round(theirs, 2) and abs(ours - theirs) > Decimal("0.000001"):
            wrong.append((number, ours, theirs))

    assert wrong == []
    assert storage > LIVES / 4


def test_parts_add_up_to_the_whole() -> None:
    """Days, or the times at which epochs began: no cent is lost or counted twice at a bound."""
    roll = random.Random(7)
    for _ in range(300):
        life, until = draw_life(roll)
        begin = life.stretches[0].begin_s
        bounds = [begin - 10, *sorted(roll.uniform(begin, until + 4000) for _ in range(4)), until + 90_000]

        parts = split([life], bounds, now_s=until)

        whole = cost(life, -EVER, EVER, now_s=until).usd
        assert round(sum((part.usd for part in parts), Decimal(0)), 18) == round(whole, 18)


def test_a_charge_takes_the_place_of_the_estimate_for_its_time() -> None:
    """What the provider charged is billed; the rest stays an estimate, and says so."""
    life = Life("i", "r", "a", BillingRules(), (Stretch(0, "all", Decimal(3600)), Stretch(100, "nothing")))
    billed = replace(life, paid=(Paid(0, 60, Decimal("61.5")),))

    assert cost(life, 0, EVER, now_s=200) == Total(Decimal(100), Decimal(0))
    assert cost(billed, 0, EVER, now_s=200) == Total(Decimal("101.5"), Decimal("61.5"))
    assert cost(billed, 0, EVER, now_s=200).is_estimate
    assert not cost(replace(billed, paid=(*billed.paid, Paid(60, 100, Decimal(40)))), 0, 100, now_s=200).is_estimate


def test_what_still_runs_is_counted_until_now() -> None:
    """An open end grows with time; one that is known does not."""
    running = Life("i", "r", "a", BillingRules(), (Stretch(0, "all", Decimal(3600)),))

    assert cost(running, 0, EVER, now_s=7).usd == 7
    assert cost(running, 0, EVER, now_s=9).usd == 9


def test_by_provider_and_by_calendar() -> None:
    """Totals by whatever a life is sorted by; months and days begin in UTC."""
    lives = [
        Life("i", "r", name, BillingRules(), (Stretch(0, "all", Decimal(36)), Stretch(100, "nothing")))
        for name in "aab"
    ]

    assert {key: total.usd for key, total in total_by(lives, 0, EVER, now_s=200, of=lambda life: life.provider).items()} == {
        "a": 2, "b": 1,
    }  # fmt: skip
    assert month_began_s(1_795_000_000) == 1_793_491_200  # 1 November 2026
    assert day_began_s(1_795_000_000) - day_began_s(1_795_000_000, days_before=7) == 7 * 86_400
