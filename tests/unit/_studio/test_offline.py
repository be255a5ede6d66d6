"""``studio.offline``, ``studio.outbox`` and ``studio.sync()``, on a studio with a key and a sender of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio._studio.offline import SWITCH
from peft_studio.core.offline.sender import SendLater
from tests.conftest import wait_for
from tests.unit.core.offline.conftest import KEY, OTHER_KEY, Obedient


class OneTarget(Studio):
    """Connected to one platform."""

    sender: Obedient
    keys: tuple[bytes, ...] = (KEY,)

    def _data_keys(self, purpose: str) -> tuple[bytes, ...]:
        assert purpose == "outbox"
        return self.keys

    def _find_sender(self, target: str) -> Obedient | None:
        return self.sender if target.startswith("hub:") else None

    def _probes(self) -> list[Callable[[], bool]]:
        return []


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[OneTarget]:
    made = OneTarget(home=tmp_path / "home")
    made.sender = Obedient()
    yield made
    made._dispatcher.close()


def test_looking_makes_nothing(studio: OneTarget) -> None:
    """An outbox that was never used leaves no trace, and syncs to nothing."""
    assert (studio.offline, repr(studio.outbox), repr(studio.sync())) == (
        False,
        "Nothing waits.",
        "0 sent. Nothing waits.",
    )
    assert not (studio.home / "outbox").exists()


def test_offline_it_waits_and_online_it_goes(studio: OneTarget) -> None:
    """By itself, once it is said that there is a network."""
    studio.offline = "on a plane"
    studio._queue("hub:me/x", "upload", {"path": "a"}, id="e1")

    assert (studio.offline, studio.outbox.summary) == ("on a plane", "1 upload waits for the network.")
    assert repr(studio.sync()) == "0 sent. 1 upload waits for the network."
    assert studio.sender.sent == []
    studio.offline = None
    wait_for(lambda: not len(studio.outbox), "the outbox to empty", timeout_s=20)
    assert [receipt.id for receipt in studio.outbox.sent()] == ["e1"]


def test_sync_says_why_something_is_left(studio: OneTarget) -> None:
    """Line by line."""
    studio.offline = True
    studio.sender.answers = [SendLater("status 429", retry_after_s=7200.0)]
    studio._queue("hub:me/x", "upload", 1)
    studio._queue("wandb:r", "log", 1)
    studio._connectivity.set(False)
    done = studio.sync()

    assert (done.sent, done.left) == (0, 2)
    assert "  wandb:r: is not connected" in repr(done)
    assert "  hub:me/x: status 429; again in 2 h" in repr(done)


def test_a_key_that_was_replaced_still_opens(studio: OneTarget) -> None:
    """The vault gives the newest first, and behind it those before."""
    studio.offline = True
    studio._queue("hub:me/x", "upload", "old")
    later = OneTarget(home=studio.home)
    later.keys, later.sender = (OTHER_KEY, KEY), Obedient()

    later.sync()
    later._dispatcher.close()

    assert later.sender.payloads == ["old"]


def test_an_environment_variable_says_it_from_the_start(studio: OneTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """``0`` and nothing say nothing."""
    monkeypatch.setenv(SWITCH, "1")
    assert studio.offline == "PEFT_STUDIO_OFFLINE is set"
    monkeypatch.setenv(SWITCH, "0")
    other = OneTarget(home=studio.home)
    assert other.offline is False
