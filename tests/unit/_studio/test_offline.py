"""``studio.offline``, ``studio.outbox`` and ``studio.sync()``, on a studio with a key and a sender of the test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio._studio.offline import SWITCH
from peft_studio.core.errors import Offline, VaultLocked
from peft_studio.core.offline.sender import SendLater
from tests.conftest import wait_for
from tests.emulators.ollama import Daemon, Local, serve_ollama
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
    wait_for(lambda: not len(studio.outbox), "the outbox to empty")
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


def test_offline_by_hand_no_platform_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to connect nor to search; what runs on this machine is asked as ever, and its answer tells nothing of the network."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with serve_ollama(Daemon(models=[Local("tiny:1")])) as daemon:
        monkeypatch.setenv("OLLAMA_HOST", daemon)
        studio = Studio(home=tmp_path / "home")
        studio.offline = "on a plane"
        with pytest.raises(Offline, match="on a plane"):
            studio.connect("huggingface", token="hf_" + "a" * 34)
        found = studio.models("tiny", registries=["huggingface", "ollama"])

        assert [model.id for model in found] == ["tiny:1"]
        assert "on a plane" in found.missing["huggingface"]


def test_the_studio_keeps_its_outbox_with_a_key_of_its_vault(tmp_path: Path) -> None:
    """What is queued waits until a platform takes it."""
    studio = Studio(home=tmp_path / "home")
    studio.offline = True
    studio._queue("huggingface:me/x", "upload", {"path": "a"}, id="e1")

    assert [(entry.id, entry.payload) for entry in studio.outbox] == [("e1", {"path": "a"})]
    assert studio.outbox.total == 1
    studio._dispatcher.close()


def test_what_a_former_kernel_left_goes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening the home is enough; two studios on it send it once."""
    monkeypatch.setattr("peft_studio._studio.offline.BEGIN_S", 0.0)
    before = OneTarget(home=tmp_path / "home")
    before.offline = "on a plane"
    before._queue("hub:me/x", "upload", {"path": "a"}, id="e1")
    before._dispatcher.close()

    both = [OneTarget(home=tmp_path / "home") for _ in range(2)]
    for one in both:
        one.sender = Obedient()
    for one in both:
        assert one.home
    wait_for(lambda: before._outbox.find("e1") is None, "the entry to be sent")
    assert [entry.id for one in both for entry in one.sender.sent] == ["e1"]
    for one in both:
        one._dispatcher.close()


def test_a_locked_vault_lets_it_wait_until_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread ends without a word; looking at the outbox afterwards begins it."""
    monkeypatch.setattr("peft_studio._studio.offline.BEGIN_S", 0.0)
    before = OneTarget(home=tmp_path / "home")
    before.offline = "on a plane"
    before._queue("hub:me/x", "upload", {"path": "a"}, id="e1")
    before._dispatcher.close()
    studio = OneTarget(home=tmp_path / "home")
    studio.sender = Obedient()

    def locked(purpose: str) -> tuple[bytes, ...]:
        raise VaultLocked("The vault is locked.")

    monkeypatch.setattr(studio, "_data_keys", locked)
    assert studio.home
    wait_for(lambda: not studio._beginning, "the thread to end")
    assert "_dispatcher" not in vars(studio)
    monkeypatch.undo()
    monkeypatch.setattr("peft_studio._studio.offline.BEGIN_S", 0.0)
    assert studio.outbox is not None
    wait_for(lambda: before._outbox.find("e1") is None, "the entry to be sent")
    studio._dispatcher.close()


@pytest.mark.parametrize("used", [False, True])
def test_where_nothing_waits_nothing_is_loaded(tmp_path: Path, used: bool) -> None:
    """Neither the cipher nor the dispatcher, nor a thread; nor an SQLite where there is no outbox at all."""
    home = tmp_path / "home"
    if used:
        studio = OneTarget(home=home)
        studio.sender = Obedient()
        studio._queue("hub:me/x", "upload", 1)
        studio.sync(timeout_s=20)
        assert len(studio.outbox.sent()) == 1  # by sync, or in the background before it
        studio._dispatcher.close()
    code = (
        f"import sys, threading, peft_studio; peft_studio.Studio(home={str(home)!r}).home;"
        "print(threading.active_count(), *[m for m in ('sqlite3', 'cryptography', 'peft_studio.core.offline.outbox') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", *(["sqlite3"] if used else [])]
