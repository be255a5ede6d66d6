"""The seam to whoever watches the network: asked before anything leaves, told what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from peft_studio.connectors.base import network
from peft_studio.connectors.base.answer import Platform
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.patience import Limits
from peft_studio.core.errors import StudioError, Unavailable
from tests.emulators.faulty import Faulty, serve_faulty
from tests.emulators.faulty.plans import good, redirect

QUICK = Limits(connect_s=1, total_s=3, attempts=2, first_wait_s=0.001)


class Watcher:
    def __init__(self) -> None:
        self.open = True
        self.asked: list[str] = []
        self.told: list[tuple[str, bool]] = []

    def require(self, what: str) -> None:
        self.asked.append(what)
        if not self.open:
            raise StudioError(f"{what} needs the network.")

    def report(self, host: str, *, reached: bool) -> None:
        self.told.append((host, reached))


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    made = Watcher()
    network.watch(made)
    yield made
    network.watch(None)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """A platform that is not on this machine, reached through a proxy that is."""
    state = Faulty()
    with serve_faulty(state) as address:
        monkeypatch.setenv("http_proxy", address)
        yield state


def door(address: str) -> Door:
    return Door(Platform("shop", "The Shop"), address, limits=QUICK)


def test_what_came_of_a_request_is_told(watcher: Watcher, elsewhere: Faulty) -> None:
    """An error is an answer; a closed port is none, at each attempt."""
    elsewhere.plan("http://shop.example/x", good({}), good({}, status=404))
    door("http://shop.example").get("/x")
    with pytest.raises(StudioError):
        door("http://shop.example").get("/x")
    with pytest.raises(Unavailable):
        door("http://127.0.0.1:9").get("/x")

    assert watcher.told == [("shop.example", True)] * 2 + [("127.0.0.1", False)] * 2


def test_nothing_leaves_while_it_must_not(watcher: Watcher, elsewhere: Faulty) -> None:
    """Not one byte, nor a second attempt; what is on this machine goes on, but no redirect from it leads out."""
    watcher.open = False
    with pytest.raises(StudioError, match="The Shop needs the network"):
        door("http://shop.example").get("/x")
    assert watcher.asked == ["The Shop"]
    assert elsewhere.asked == []

    here = Faulty()
    with serve_faulty(here) as address:
        here.plan("/a", good({"ok": 1}))
        here.plan("/b", redirect("http://shop.example/x"))
        assert door(address).get("/a").json() == {"ok": 1}
        with pytest.raises(StudioError, match="needs the network"):
            door(address).get("/b")
    assert elsewhere.asked == []
