"""When one is offline, when not any more, who is told, and that nothing is probed needlessly."""

from __future__ import annotations

import itertools

import pytest

from peft_studio.core.errors import Offline
from peft_studio.core.offline.connectivity import LONGEST_S, WINDOW_S, Connectivity
from tests.unit.core.offline.conftest import Clock


class Probe:
    """Answers as it is told, and counts."""

    def __init__(self, answer: bool = False) -> None:
        self.answer, self.asked = answer, 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.answer


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
def time() -> Clock:
    return Clock(0.0)


@pytest.fixture
def net(probe: Probe, time: Clock) -> Connectivity:
    return Connectivity([probe], clock=time, roll=lambda: 1.0)


@pytest.mark.parametrize(
    ("reports", "offline"),
    [
        ([], False),
        ([("a.org", False)], False),
        ([("a.org", False)] * 50, False),  # that is its own trouble
        ([("a.org", False), ("b.org", False)], True),
        ([("a.org", False), ("c.org", True), ("b.org", False)], False),
        ([("a.org", False), ("b.org", False), ("a.org", True)], False),
        ([("localhost", False), ("127.0.0.1", False), ("::1", False), ("x.localhost", False)], False),
        ([("a.org", False), ("127.0.0.1", True), ("b.org", False)], True),  # this machine always answers
    ],
)
def test_what_requests_meet(net: Connectivity, reports: list[tuple[str, bool]], offline: bool) -> None:
    """Two hosts that fail, and none that answers."""
    for host, reached in reports:
        net.report(host, reached=reached)

    assert bool(net.offline) is offline
    assert not offline or "no answer from a.org, b.org" in str(net.offline)


def test_old_failures_are_no_evidence(net: Connectivity, time: Clock) -> None:
    """Two that lie far apart say nothing about now."""
    net.report("a.org", reached=False)
    time.now += WINDOW_S + 1
    net.report("b.org", reached=False)

    assert net.offline is False


def test_one_host_that_keeps_failing_has_the_probes_asked(net: Connectivity, probe: Probe) -> None:
    """It alone decides nothing; the probes do."""
    told: list[object] = []
    net.watch(told.append, doubts=True)
    for _ in range(2):
        net.report("a.org", reached=False)
    assert (net.check(), net.next_check_s, probe.asked) == (False, None, 0)
    net.report("a.org", reached=False)

    assert (told, net.next_check_s) == ([False], 0.0)
    assert net.check() == "nothing answers"
    assert (probe.asked, told) == (1, [False, "nothing answers"])

    probe.answer = True
    assert net.check(at_once=True) is False
    assert told[-1] is False


def test_probes_are_few_while_nothing_answers(net: Connectivity, probe: Probe, time: Clock) -> None:
    """However often it is asked for: in a day offline fewer than 300, and at most five minutes apart."""
    net.report("a.org", reached=False)
    net.report("b.org", reached=False)
    at: list[float] = []
    while time.now < 86_400:
        before = probe.asked
        net.check()
        net.report("a.org", reached=False)
        at += [time.now] * (probe.asked - before)
        time.now += 1
    gaps = [later - sooner for sooner, later in itertools.pairwise(at)]

    assert probe.asked < 300
    assert gaps[:4] == [10.0, 20.0, 40.0, 80.0]
    assert max(gaps) <= LONGEST_S


def test_an_answer_ends_it_at_once(net: Connectivity) -> None:
    """A real one is proof enough, and two failures are needed again."""
    told: list[object] = []
    net.watch(told.append)
    net.report("a.org", reached=False)
    net.report("b.org", reached=False)
    net.report("b.org", reached=True)
    net.report("b.org", reached=False)

    assert net.offline is False
    assert [bool(one) for one in told] == [True, False]


def test_without_probes_a_request_is_let_through_now_and_then(time: Clock) -> None:
    """Its failure is the answer, and the next is let through later."""
    net = Connectivity(clock=time, roll=lambda: 1.0)
    net.report("a.org", reached=False)
    net.report("b.org", reached=False)
    assert net.check()
    time.now += 5
    assert net.check() is False
    net.report("a.org", reached=False)
    assert net.offline
    time.now += 5
    assert net.check()
    time.now += 5
    assert net.check() is False
    net.report("a.org", reached=True)
    net.report("a.org", reached=False)
    assert net.offline is False


@pytest.mark.parametrize("said", [True, "on a plane"])
def test_by_hand_nothing_changes_it_and_nothing_is_probed(net: Connectivity, probe: Probe, said: bool | str) -> None:
    """Answers that still come in do not end it."""
    net.set(said)
    net.report("a.org", reached=True)

    assert (net.offline, net.is_by_hand, net.next_check_s) == (said, True, None)
    assert net.check(at_once=True) == said
    assert probe.asked == 0
    with pytest.raises(Offline, match="Search needs the network, and you are offline"):
        net.require("Search")
    net.set(None)
    assert (net.offline, net.is_by_hand) == (False, False)
    net.require("Search")


def test_by_hand_there_is_a_network_whatever_fails(net: Connectivity, probe: Probe) -> None:
    """False is a word too; None has it found out again."""
    net.set(False)
    for host in ("a.org", "b.org", "c.org"):
        net.report(host, reached=False)
    assert (net.offline, net.check(at_once=True), probe.asked) == (False, False, 0)
    net.set(None)
    for host in ("a.org", "b.org"):
        net.report(host, reached=False)
    assert net.offline


@pytest.mark.parametrize("answer", [True, False])
def test_said_while_probes_are_out_it_stays(time: Clock, answer: bool) -> None:
    """What a person says while a probe waits for its answer is not undone by the answer."""

    def ask() -> bool:
        net.set("on a plane")
        return answer

    second = Probe(True)
    net = Connectivity([ask, second], clock=time)
    net.report("a.org", reached=False)
    net.report("b.org", reached=False)

    assert net.check(at_once=True) == "on a plane"
    assert second.asked == 0


def test_watchers_hear_changes_alone_and_can_leave(net: Connectivity) -> None:
    """Saying the same again is no change."""
    told: list[object] = []
    leave = net.watch(told.append)
    net.set(True)
    net.set(True)
    net.set("on a plane")
    leave()
    leave()
    net.set(None)

    assert told == [True, "on a plane"]


def test_a_probe_that_fails_has_no_answer(time: Clock) -> None:
    """OSError is no answer; one that answers is enough."""

    def broken() -> bool:
        raise OSError("no route")

    net = Connectivity([broken, Probe(True)], clock=time)
    net.report("a.org", reached=False)
    net.report("b.org", reached=False)

    assert net.check(at_once=True) is False
