"""The thread that keeps panels up to date."""

from __future__ import annotations

import threading

from peft_studio.widgets._refresh import Refresher

DEADLINE_S = 20.0


class Counted:
    """Counts how often it was refreshed."""

    def __init__(self, interval_s: float = 0.01) -> None:
        self.interval_s = interval_s
        self.count = 0
        self.news = threading.Condition()

    def refresh(self) -> None:
        with self.news:
            self.count += 1
            self.news.notify_all()

    def wait_for(self, count: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: self.count >= count, DEADLINE_S)


def test_what_is_watched_is_refreshed_again_and_again() -> None:
    """Two things on one thread, each at its own interval."""
    refresher, often, once = Refresher(), Counted(), Counted(interval_s=3600)
    refresher.watch(once)
    refresher.watch(often)
    often.wait_for(20)
    once.wait_for(1)

    assert once.count == 1


def test_what_is_forgotten_is_left_alone() -> None:
    """After the round that is under way, nothing more comes."""
    refresher, kept, gone = Refresher(), Counted(), Counted()
    refresher.watch(kept)
    refresher.watch(gone)
    gone.wait_for(1)
    refresher.forget(gone)
    kept.wait_for(kept.count + 2)
    after = gone.count
    kept.wait_for(kept.count + 10)

    assert gone.count == after


def test_what_is_watched_again_is_refreshed_at_once() -> None:
    """It comes into sight: its next turn may be far away."""
    refresher, quiet = Refresher(), Counted(interval_s=3600)
    refresher.watch(quiet)
    quiet.wait_for(1)
    refresher.watch(quiet)

    quiet.wait_for(2)


def test_one_more_while_it_waits_is_seen_at_once() -> None:
    """A panel that is shown while all others are quiet does not wait for them."""
    refresher, quiet, new = Refresher(), Counted(interval_s=3600), Counted()
    refresher.watch(quiet)
    quiet.wait_for(1)
    refresher.watch(new)

    new.wait_for(3)
