"""When a machine counts as idle, and what is said then."""

from __future__ import annotations

import pytest

from peft_studio.core.services.rent.idle import IdlePolicy, Load, LoadWatch, build_policy, judge_idle, say_idle


@pytest.mark.parametrize(
    ("loads", "verdict"),
    [
        ([5.0] * 61, "warn"), ([5.0] * 71, "stop"), ([5.0] * 60, "busy"), ([50.0] + [5.0] * 60, "busy"), ([5.0] * 70 + [50.0], "busy"),
        ([None] + [5.0] * 59, "busy"), ([5.0] * 30 + [None] + [5.0] * 40, "busy"), ([], "busy"),
    ],
)  # fmt: skip
def test_an_hour_without_work_warns_and_ten_minutes_later_stops(loads: list[float | None], verdict: str) -> None:
    """What is not known is not idle. One sample a minute, the last of them now."""
    samples = [Load(60.0 * number, load) for number, load in enumerate(loads)]

    assert judge_idle(samples, 60.0 * (len(loads) - 1)) == verdict


def test_samples_too_far_apart_say_nothing() -> None:
    """Nor does a long silence after them."""
    hourly = [Load(1000.0 * number, 0.0) for number in range(20)]

    assert judge_idle(hourly, 19_000.0) == "busy"
    assert judge_idle([Load(60.0 * number, 0.0) for number in range(100)], 99_000.0) == "busy"
    assert judge_idle(hourly, 19_000.0, IdlePolicy(gap_s=1000)) == "stop"


@pytest.mark.parametrize("step_s", [2.0, 10.0, 60.0])
def test_samples_as_they_come_are_judged_as_all_of_them_at_once(step_s: float) -> None:
    """A busy instant begins the hour anew; what is kept for it stays small however often it is sampled."""
    watch, samples = LoadWatch(IdlePolicy()), list[Load]()
    for number in range(int(9000 / step_s)):
        at_s = number * step_s
        busy = at_s == 1200.0
        samples.append(Load(at_s, 40.0 if busy else None if number == 0 else 3.0))
        verdict = watch.take(samples[-1])
        if number % 60 == 0:
            assert verdict == judge_idle(samples, at_s)
    assert verdict == "stop"
    assert len(watch._kept) <= 9000 / 30


def test_nothing_is_stopped_without_a_warning_and_its_grace() -> None:
    """Samples that are rarer than the grace is long: the warning comes late, and so does the stop."""
    watch = LoadWatch(IdlePolicy(idle_s=100, grace_s=10))
    assert [watch.take(Load(at_s, 0.0)) for at_s in (0.0, 60.0, 150.0, 155.0, 160.0)] == [
        "busy",
        "busy",
        "warn",
        "warn",
        "stop",
    ]


def test_a_shorter_rule_has_a_shorter_grace_and_a_longer_one_the_same() -> None:
    """An hour gives ten minutes."""
    assert [build_policy(idle_s).grace_s for idle_s in (300.0, 3600.0, 7200.0)] == [50.0, 600.0, 600.0]


def test_what_is_said_names_the_times_and_how_to_turn_it_off() -> None:
    """The rule as it was launched with."""
    message, hint = say_idle(build_policy(1800.0), "warn")
    assert message == (
        "The GPU has done less than 10 % for 30 m, and is paid for. Without work it is stopped in 5 m, and what it has learned is saved."
    )
    assert "idle_minutes=None" in hint
    assert "30 m and 5 m more" in say_idle(build_policy(1800.0), "stop")[0]
