"""The next step of a rented machine, case by case. How the cases follow each other is the simulator's to try: ``tests/simulator``."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from peft_studio.core.errors import BadConnector, Forbidden, Offline, RateLimited, SoldOut, Unavailable
from peft_studio.core.services.rent.decide import decide
from peft_studio.core.services.rent.label import read_label
from peft_studio.core.services.rent.limits import end_wait_s
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.notice import Seen
from peft_studio.core.services.rent.record import Done, EndAsked, Wish
from peft_studio.core.services.rent.replies import after_create, build_intent, follow_up
from peft_studio.core.services.rent.sweep import find_strays, is_overdue
from tests.unit.core.services.rent.world import HOME, at, machine, made, offer, record, seen


def test_nothing_is_bought_before_a_whole_list_has_shown_that_there_is_nothing() -> None:
    """Without a list it waits; with one it buys, and the create is on disk before it is sent."""
    assert decide(record(), None, at(1)).act == "wait"
    assert decide(record(), seen(0), at(100)).act == "wait"
    step = decide(record(), seen(1), at(2))
    assert (step.act, step.done.made, step.done.asked_at) == ("create", "unsure", at(2))


def test_a_machine_of_that_name_is_taken_on_and_not_bought_again() -> None:
    """As after a reply that was lost, or on a home that was put back from a copy."""
    for done in (Done(), Done(asked_at=at(1), made="unsure", doubt_at=at(30))):
        step = decide(record(done), seen(40, machine()), at(41))

        assert (step.act, step.done.instance_id, step.done.made) == ("wait", "i1", "made")


def test_a_lost_create_is_believed_not_to_have_happened_only_when_two_late_lists_lack_it() -> None:
    """Before the settle time no list counts, however often it is asked."""
    one = record(Done(asked_at=at(1), made="unsure", doubt_at=at(30)))
    for second in (31, 90, 149):
        one = replace(one, done=decide(one, seen(second), at(second)).done)
        assert one.done.absent == ()
    one = replace(one, done=decide(one, seen(151), at(151)).done)
    assert decide(one, seen(200), at(200)).act == "wait"
    step = decide(one, seen(242), at(242))
    assert (step.act, step.done.leaving) == ("close", "never-made")


@pytest.mark.parametrize(
    ("reply", "sure"),
    [
        (SoldOut("x"), True), (Forbidden("x"), True), (RateLimited("x"), True), (Offline("x"), True),
        (Unavailable("x"), False), (Unavailable("x", may_have_happened=True), False), (BadConnector("x"), False),
        (RateLimited("x", may_have_happened=True), False),
    ],
)  # fmt: skip
def test_only_a_clear_no_ends_the_doubt(reply: Any, sure: bool) -> None:
    """A connector that is late or broken may have bought a machine, whatever its error says."""
    done = after_create(Done(asked_at=at(1), made="unsure", doubt_at=at(1)), reply, at(9))

    assert (done.made == "refused") is sure
    assert done.doubt_at == (at(1) if sure else at(9))


def test_gone_needs_its_end_asked_for_and_two_lists_after_that() -> None:
    """An answer to the end is a hope; a list that was asked for before it says nothing."""
    one = record(made(), Wish(end="stopped"))
    step = decide(one, seen(300, machine()), at(300))
    assert (step.act, step.instance_id, step.done.ends) == ("end", "i1", (EndAsked("i1", 1, at(300)),))
    one = replace(one, done=step.done)
    assert decide(one, seen(299), at(301)).done.absent == ()
    one = replace(one, done=decide(one, seen(310), at(310)).done)
    assert decide(one, seen(399), at(399)).act == "wait"
    assert decide(one, seen(401), at(401)).act == "close"
    assert decide(replace(one, done=replace(one.done)), seen(401, machine()), at(401)).done.absent == ()


def test_its_end_is_asked_for_for_ever_at_most_five_minutes_apart() -> None:
    """Often for eight minutes, then ever less; the thousandth time as the fortieth."""
    assert [end_wait_s(times) for times in (1, 2, 3, 32, 33, 40, 1000)] == [5, 10, 15, 15, 30, 300, 300]
    done = made(leaving="stopped", leaving_at=at(0), ends=(EndAsked("i1", 999, at(1e6)),))
    assert decide(record(done), seen(1e6 + 299, machine()), at(1e6 + 299)).act == "wait"
    assert decide(record(done), seen(1e6 + 300, machine()), at(1e6 + 300)).act == "end"


def test_without_a_list_its_end_is_asked_for_all_the_same() -> None:
    """A provider whose list fails for hours may still end machines."""
    done = made(leaving="stopped", leaving_at=at(0), ends=(EndAsked("i1", 1, at(10)), EndAsked("i2", 1, at(11))))

    assert decide(record(done), None, at(12)).act == "wait"
    assert decide(record(done), None, at(15)).instance_id == "i1"
    assert decide(record(done), seen(15), at(15)).act == "wait"


@pytest.mark.parametrize(
    ("why", "done", "fields", "second", "state"),
    [
        ("lifetime", made(), {"lifetime_s": 600.0}, 601, "running"),
        ("no-progress", made(rank=3), {}, 92, "running"),
        ("failed", made(), {}, 20, "failed"),
        ("preempted", made(), {}, 20, "stopped"),
        ("price", made(asking_at=at(10), usd_per_hour=Decimal(9)), {}, 310, "running"),
    ],
)
def test_why_a_machine_has_to_go(why: str, done: Done, fields: dict[str, Any], second: float, state: str) -> None:
    """Each brake that works at home, by itself."""
    ready = why not in {"no-progress"}
    price = "9" if why == "price" else "2"
    one = record(done, Wish(ready=ready), **fields)

    assert decide(one, seen(second, machine(state=state, price=price)), at(second)).done.leaving == why
    assert decide(one, seen(second - 15, machine(price=price)), at(second - 15)).done.leaving is None


def test_a_machine_that_its_provider_finds_fault_with_is_kept_while_it_is_heard() -> None:
    """It may have switched itself off, and is paid for: unheard for five minutes, while somebody listened, it goes. What is fetched takes its time."""
    heard = made(rank=3)

    def left(heard_s: float, second: float, *, watching_s: float = 0, fetching: bool = False) -> str | None:
        wish = Wish(ready=True, moved_at=at(heard_s), fetching=fetching)
        step = decide(record(heard, wish), seen(second, machine(state="ailing")), at(second), watching=at(watching_s))
        return step.done.leaving

    assert left(1000, 1290) is None
    assert left(1000, 1300) == "failed"
    assert left(1000, 2790, fetching=True) is None
    assert left(1000, 2800, fetching=True) == "unheard"
    assert left(1000, 5000, watching_s=4900) is None
    assert left(1000, 5200, watching_s=4900) == "unheard"


def test_a_budget_ends_it_while_there_is_enough_left_to_end_it() -> None:
    """The cap is kept, not overrun."""
    one = record(made(), Wish(ready=True))

    assert decide(one, seen(20, machine()), at(20), left_usd=Decimal("0.06")).done.leaving is None
    assert decide(one, seen(20, machine()), at(20), left_usd=Decimal("0.05")).done.leaving == "budget"
    assert decide(record(), seen(1), at(1), left_usd=Decimal(0)).done.leaving == "budget"


def test_a_price_that_was_not_agreed_to_waits_for_a_person() -> None:
    """Yes keeps it at that price and at no higher one."""
    asked = decide(record(made(), Wish(ready=True)), seen(20, machine(price="4")), at(20)).done
    assert asked.asking_at == at(20)
    agreed = Wish(ready=True, price_ok=Decimal(4))
    assert decide(record(asked, agreed), seen(900, machine(price="4")), at(900)).done.asking_at is None
    assert decide(record(made(), agreed), seen(900, machine(price="5")), at(900)).done.asking_at == at(900)


def test_what_happened_while_nobody_looked_is_no_lack_of_progress() -> None:
    """A laptop that slept does not end the machine that went on meanwhile."""
    one = record(made(rank=3))

    assert decide(one, seen(5000, machine()), at(5000), watching=at(4990)).done.leaving is None
    assert decide(one, seen(5090, machine()), at(5090), watching=at(4990)).done.leaving == "no-progress"


@pytest.mark.parametrize(
    ("why", "done", "fields", "ready"),
    [
        ("no-progress", made(rank=3), {}, False),
        ("lifetime", made(), {"lifetime_s": 600.0}, True),
        ("price", made(asking_at=at(10), usd_per_hour=Decimal(9)), {}, True),
    ],
)
def test_a_clock_that_is_set_back_while_the_computer_starts_anew_holds_up_no_end(
    why: str, done: Done, fields: dict[str, Any], ready: bool
) -> None:
    """What came before this boot is at least as long ago as somebody has been watching in it."""

    def later(second: float) -> Moment:
        return Moment(at(second).wall_s - 86_400, second, "another")

    one = record(done, Wish(ready=ready), **fields)
    dear = machine(price="9" if why == "price" else "2")

    assert decide(one, seen(50), later(50), watching=later(10)).done.leaving is None
    step = decide(one, Seen((dear,), later(700), later(700)), later(700), watching=later(10))
    assert step.done.leaving == why


@pytest.mark.parametrize(
    ("heard_s", "price", "state", "spot", "why"),
    [
        (1000, "2", None, False, "vanished"), (400, "2", None, False, "unheard"), (400, "2", None, True, "unheard"),
        (400, "2", "stopped", False, "unheard"), (400, "2", "failed", False, "unheard"), (400, "2", "stopped", True, "preempted"),
        (1000, "2", "stopped", False, "preempted"), (400, "0", None, False, "vanished"),
    ],
)  # fmt: skip
def test_what_may_have_ended_itself_while_nobody_heard_it_is_followed_by_no_purchase(
    heard_s: float, price: str, state: str | None, spot: bool, why: str
) -> None:
    """It idled, or its run was over, or its lease was: home cannot know, and nobody asked for another. One that others outbid is known."""
    one = record(made(rank=3), Wish(ready=True, moved_at=at(heard_s)), offers=(offer(price=price, spot=spot),))
    machines = [machine(state=state, price=price)] if state else []
    for second in (1000, 1100):
        one = replace(one, done=decide(one, seen(second, *machines), at(second), watching=at(990)).done)

    assert one.done.leaving == why
    assert (follow_up(one, at(1200), home=HOME, left_usd=None) is None) is (why == "unheard")


def test_what_ended_itself_before_it_trained_is_not_bought_anew_either() -> None:
    """A laptop that slept right after the order: it does not get on because it is gone. One that is still there is."""
    one = record(made(rank=3, moved_at=at(30)))
    for second in (8000, 8089):
        one = replace(one, done=decide(one, seen(second), at(second), watching=at(8000)).done)
    assert decide(one, seen(8091), at(8091), watching=at(8000)).done.leaving == "unheard"
    assert decide(one, seen(8091, machine()), at(8091), watching=at(8000)).done.leaving == "no-progress"


def test_what_was_absent_once_before_a_long_silence_may_have_ended_in_it() -> None:
    """A list had left it out while it was heard; then home was away for longer than its lease."""
    one = record(made(rank=3), Wish(ready=True, moved_at=at(390)))
    one = replace(one, done=decide(one, seen(400), at(400), watching=at(0)).done)
    assert len(one.done.absent) == 1
    assert decide(one, seen(2200), at(2200), watching=at(2199)).done.leaving == "unheard"


@pytest.mark.parametrize("heard", [at(400), at(90, boot="later", wall=90 - 86_400.0)], ids=["before", "since"])
def test_a_clock_that_went_back_over_a_reboot_vouches_for_no_machine(heard: Moment) -> None:
    """How long it was silent is not known; nor, if it was heard since, whether its life was over."""
    one = record(made(rank=3), Wish(ready=True, moved_at=heard))
    for second in (100, 225, 320):  # after a reboot the first look only begins the wait
        now = at(second, boot="later", wall=second - 86_400.0)
        look = Seen((), now, now)
        one = replace(one, done=decide(one, look, now, watching=at(99, boot="later", wall=99 - 86_400.0)).done)
    assert one.done.leaving == "unheard"


def test_a_list_of_before_a_freeze_shows_nothing_that_is_there() -> None:
    """A worker that goes on after half an hour still has it in hand: the machine may have ended itself since."""
    one = record(made(rank=3, moved_at=at(30)))
    assert decide(one, seen(40, machine()), at(2000), watching=at(0)).done.leaving == "unheard"
    assert decide(one, seen(1990, machine()), at(2000), watching=at(0)).done.leaving == "no-progress"


def test_one_that_is_not_there_any_more_does_not_merely_fail_to_get_on() -> None:
    """Its absence is proven first: that says whether another one may be bought."""
    one = record(made(rank=3, moved_at=at(40)))
    for second in (125, 131):
        one = replace(one, done=decide(one, seen(second), at(second), watching=at(0)).done)
        assert (one.done.leaving, len(one.done.absent)) == (None, 1)
    assert decide(one, seen(216), at(216), watching=at(0)).done.leaving == "vanished"


@pytest.mark.parametrize(
    ("first", "second", "price", "why"),
    [(200, 300, "2", "never-made"), (440, 530, "2", "never-made"), (600, 701, "2", "unheard"), (200, 3800, "2", "unheard"), (600, 701, "0", "never-made")],
)  # fmt: skip
def test_what_no_list_ever_had_may_have_lived_where_nobody_looked_for_as_long_as_a_lease(
    first: float, second: float, price: str, why: str
) -> None:
    """It may have ended itself and cost what no meter knows: another one could overdraw the cap. What costs nothing goes on."""
    one = record(Done(asked_at=at(1), made="unsure", doubt_at=at(1), moved_at=at(1)), offers=(offer(price=price),))
    for second_s in (first, second):
        one = replace(one, done=decide(one, seen(second_s), at(second_s), watching=at(first - 1)).done)
    assert one.done.leaving == why
    assert (follow_up(one, at(second), home=HOME, left_usd=None) is None) is (why == "unheard")


def test_what_a_list_left_out_before_a_silence_in_which_its_life_ended_has_ended_itself() -> None:
    """The second absence proves the first, and not that it was gone by then: its own brake may have ended it meanwhile."""
    one = record(made(rank=3), Wish(ready=True, moved_at=at(390)), lifetime_s=500.0)
    one = replace(one, done=decide(one, seen(400), at(400), watching=at(0)).done)
    assert len(one.done.absent) == 1
    one = replace(one, done=decide(one, seen(520), at(520), watching=at(519)).done)
    assert one.done.leaving == "lifetime"
    assert follow_up(one, at(620), home=HOME, left_usd=None) is None


def test_a_follow_up_is_given_the_life_that_was_asked_for() -> None:
    """Not the one to which a cap had shortened the first, if the caps leave more by now."""
    first = build_intent(replace(record().intent, lifetime_s=7200.0), home=HOME, left_usd=Decimal(1))
    assert (first.lifetime_s, first.wanted_life_s) == (1800.0, 7200.0)
    following = follow_up(
        replace(record(made(leaving="preempted")), intent=first), at(500), home=HOME, left_usd=Decimal(12)
    )
    assert following is not None
    assert following.lifetime_s == 7200.0
    assert replace(first, asked_life_s=None).wanted_life_s == 1800.0  # a record of before


def test_a_second_machine_of_the_name_goes_and_the_first_stays() -> None:
    """Whoever made it."""
    step = decide(record(made(), Wish(ready=True)), seen(20, machine("i0"), machine("i1")), at(20))

    assert (step.act, step.instance_id, step.done.leaving) == ("end", "i0", None)


def test_a_clock_that_is_set_proves_nothing() -> None:
    """Waits go by a clock that cannot be set, and begin anew where that one did: after a reboot."""
    doubt = Done(asked_at=at(1), made="unsure", doubt_at=at(30))
    later = at(60, wall=1.79e9 + 86_400)
    assert decide(record(doubt), replace(seen(60), asked_at=later), later).done.absent == ()
    booted = at(10, boot="c", wall=1.79e9 + 500)
    assert decide(record(doubt), replace(seen(0), asked_at=booted), booted).done.doubt_at == booted


def test_after_a_reboot_every_end_counts_from_then_on() -> None:
    """Of a second machine, too, and where only a part was written since."""
    old, new = EndAsked("i2", 1, at(9)), EndAsked("i1", 1, at(5, boot="c"))
    one = record(made(leaving="stopped", leaving_at=at(9), doubt_at=at(1, boot="c"), ends=(old, new)))
    now = at(700, boot="c")
    done = decide(one, replace(seen(0), asked_at=now), now).done

    assert {asked.at.boot for asked in done.ends} == {"c"}


def test_an_order_of_yesterday_buys_nothing() -> None:
    """A laptop that went to sleep between the click and the create."""
    assert decide(record(), seen(901), at(901)).done.leaving == "expired"


def test_a_closed_record_is_left_alone() -> None:
    """Whoever comes with it."""
    closed = record(made(leaving="stopped", absent=(at(1), at(2)), closed_at=at(3)))

    assert decide(closed, seen(9), at(9)).act == "wait"


@pytest.mark.parametrize(
    ("why", "provider"),
    [("sold-out", "beta"), ("no-progress", "beta"), ("preempted", "beta"), ("rate-limited", "alpha"), ("stopped", None), ("budget", None), ("price", None)],
)  # fmt: skip
def test_which_attempt_follows(why: Any, provider: str | None) -> None:
    """Another offer after a machine that failed, the same after a "not so fast", none after a brake or a person."""
    following = follow_up(record(made(leaving=why)), at(500), home=HOME, left_usd=None)

    assert (following.provider if following else None) == provider
    assert following is None or (following.attempt == 2 and f"-{following.run_id}-2-" in following.label)


def test_what_was_being_stopped_gets_no_other_machine() -> None:
    """It was told so, and its cap is all but used up."""
    for saving in ("budget", "lifetime", "idle"):
        lost = record(made(leaving="preempted", saving=saving, saving_at=at(490)), Wish(ready=True))
        assert follow_up(lost, at(500), home=HOME, left_usd=Decimal(1)) is None


def test_a_run_whose_machines_all_fail_is_given_up_and_one_that_trained_is_not() -> None:
    """Six in a row that never trained; being preempted while training is no such failure."""
    failed = record(made(leaving="failed"), failed_before=5)
    assert follow_up(failed, at(500), home=HOME, left_usd=None) is None
    trained = replace(failed, wish=Wish(ready=True))
    following = follow_up(trained, at(500), home=HOME, left_usd=Decimal(1))
    assert following is not None
    assert (following.failed_before, following.lifetime_s) == (0, 1200.0)  # a dollar at $3/h


IN_LINE = (offer("alpha", "0", queues=True),)


def test_waiting_in_line_is_no_lack_of_progress_until_its_turn_has_come() -> None:
    """A cluster lets it wait for hours; once its machine runs it is held to its patience like any other."""
    waits = record(made(), offers=IN_LINE)
    assert decide(waits, seen(3600, machine(state="provisioning", price="0")), at(3600)).done.leaving is None
    runs = record(made(rank=3), offers=IN_LINE)
    assert decide(runs, seen(3600, machine(price="0")), at(3600)).done.leaving == "no-progress"


def test_waiting_in_line_takes_nothing_of_its_longest_lifetime() -> None:
    """It waits for longer than it may live; then it lives as long as was promised, and no longer."""
    waits = record(made(), Wish(moved_at=at(9000), ready=True), offers=IN_LINE, lifetime_s=3600.0)
    step = decide(waits, seen(9000, machine(state="provisioning", price="0")), at(9000))
    assert (step.done.leaving, step.done.saving, step.done.turn_at) == (None, None, None)
    step = decide(replace(waits, done=step.done), seen(9100, machine(state="booting", price="0")), at(9100))
    assert step.done.turn_at == at(9100)
    runs = replace(waits, done=step.done)
    later = [decide(runs, seen(second, machine(price="0")), at(second)).done for second in (9101, 12_690, 12_701)]
    assert [one.saving for one in later[:2]] == [None, "lifetime"]
    assert [one.leaving for one in later] == [None, None, "lifetime"]
    assert later[2].turn_at == at(9100)  # a state that goes to and fro gives no second life


def test_no_other_home_ends_what_has_waited_in_line_for_longer_than_it_may_live() -> None:
    """Its name is made before anybody knows when its turn comes."""
    waits, bought = [
        follow_up(record(made(leaving="preempted"), offers=offers), at(1000), home=HOME, left_usd=None)
        for offers in (IN_LINE, (offer("alpha", "1"),))
    ]
    assert waits
    assert bought
    late = at(10**9)
    overdue = [
        is_overdue(
            find_strays("alpha", [machine().model_copy(update={"label": one.label})], home="other1")[0], late, late
        )
        for one in (waits, bought)
    ]
    assert overdue == [False, True]


def test_a_machine_that_waits_without_a_line_uses_its_lifetime_up() -> None:
    """It is bought, and paid for, while it is provisioned."""
    waits = record(made(rank=1), lifetime_s=3600.0)
    assert decide(waits, seen(3700, machine(state="provisioning")), at(3700)).done.leaving == "lifetime"


def test_what_costs_nothing_needs_no_money() -> None:
    """A month whose cap is used up still has the cluster."""
    free = record(made(usd_per_hour=Decimal(0)), Wish(ready=True), offers=IN_LINE)
    assert decide(free, seen(9, machine(price="0")), at(9), left_usd=Decimal(0)).done.leaving is None


def test_one_that_lost_its_turn_is_put_in_line_again_and_has_not_failed() -> None:
    """However often; one that failed while it waited counts."""
    for why, failed in (("preempted", 5), ("failed", None)):
        one = record(made(leaving=why), offers=IN_LINE, failed_before=5)
        following = follow_up(one, at(1000), home=HOME, left_usd=None)
        assert (following.failed_before if following else None) == (failed if why == "preempted" else None)


def test_a_line_of_weeks_is_waited_in() -> None:
    """Each quarter of an hour there is another attempt, so there is a thousandth after ten days; its label is as good as the first."""
    one = record(made(leaving="preempted"), offers=IN_LINE, attempt=999)
    following = follow_up(one, at(1000), home=HOME, left_usd=None)
    assert following
    tag = read_label(following.label)
    assert tag
    assert (tag.attempt, following.attempt) == (1000, 1000)
