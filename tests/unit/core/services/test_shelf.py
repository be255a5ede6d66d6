"""What is on sale, known at once: offers of before with their age, new ones asked for behind, a provider that hangs waited for by nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from peft_studio.connectors.catalog import Catalog
from peft_studio.core.errors import Unavailable
from peft_studio.core.offline.cache import Cache
from peft_studio.core.ports import Offers
from peft_studio.core.services import shelf
from peft_studio.core.services.offers import keep_offers
from peft_studio.core.services.shelf import NOBODY, QUERY, Shelf
from tests.conftest import wait_for
from tests.unit.core.services.test_offers import ANSWERS, add_provider, offer


class World:
    """Two providers, and which of them are connected."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ready = ["one", "two"]
        self.asked: list[str] = []
        self.over = threading.Event()
        self.cache = Cache(home / "cache")
        sources = [add_provider(monkeypatch, name) for name in ("one", "two")]
        self.catalog = Catalog(home, sources=sources)
        ANSWERS.clear()
        for name in self.ready:
            self.sell(name, lambda name=name: Offers(offers=(offer(name, "NVIDIA L4", "0.50"),)))

    def sell(self, name: str, answer: Callable[[], Offers]) -> None:
        ANSWERS[name] = lambda query: (self.asked.append(name), answer())[1]

    def hang(self, name: str) -> None:
        self.sell(name, lambda: (self.over.wait(30), Offers(offers=()))[1])

    def fail(self, name: str) -> None:
        def answer() -> Offers:
            raise Unavailable(f"{name} is being repaired.")

        self.sell(name, answer)

    def open(self) -> Shelf:
        return Shelf(self.catalog, self.cache, list_ready=lambda: self.ready, make_ready=lambda name: None)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, monkeypatch)
    yield made
    made.over.set()


def providers(shelf: Shelf) -> set[str]:
    return {one.provider for one in shelf.look().offers}


def test_nobody_is_asked_unasked(world: World) -> None:
    """To look is to read; what nobody sells has its reason."""
    made = world.open()
    assert (made.look().offers, world.asked) == ((), [])
    world.ready = []
    made.ask()
    assert (made.look().why_none, made.look(wait_s=5).offers, world.asked) == (NOBODY, (), [])


def test_answers_come_behind_and_are_asked_for_once(world: World) -> None:
    """Both arrive; within three minutes nobody is asked again, in another kernel neither."""
    made = world.open()
    made.ask()
    wait_for(lambda: providers(made) == {"one", "two"}, "both answers")
    made.ask()
    world.open().ask()
    assert sorted(world.asked) == ["one", "two"]
    assert made.look().why_none == ""


def test_one_that_hangs_is_waited_for_by_nobody(world: World) -> None:
    """The other's offers are there at once, and its own of before with their age."""
    old = datetime.now(UTC) - timedelta(hours=3)
    before = Cache(world.cache.folder, now=old.timestamp)
    keep_offers(before, "two", QUERY, Offers(offers=(offer("two", "H100", "2.10", seen_at=old),)))
    world.hang("two")
    made = world.open()
    began = time.monotonic()
    made.ask()
    assert providers(made) >= {"two"}
    wait_for(lambda: providers(made) == {"one", "two"}, "the other's answer")
    assert time.monotonic() - began < 5
    assert sorted(world.asked) == ["one", "two"]
    assert [one.seen_at for one in made.look().offers if one.provider == "two"] == [old]


def test_a_first_answer_is_worth_a_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was ever seen; where all hang no longer than that, and it is said who is asked."""
    made = world.open()
    made.ask()
    assert made.look(wait_s=10).offers
    world.hang("one")
    world.hang("two")
    world.cache.clear()
    again = world.open()
    again.ask()
    assert again.look(wait_s=0.05).why_none == "one and two are being asked"
    monkeypatch.setattr(shelf, "OFFERS_S", 0.0)
    assert not again.is_asking
    assert again.look(wait_s=10).why_none.startswith("one: ")


def test_what_went_wrong_is_said(world: World) -> None:
    """Beside what was seen before, and in place of it; a connector of nothing on sale is no trouble."""
    world.fail("one")
    world.sell("two", lambda: Offers(offers=()))
    made = world.open()
    made.ask()
    wait_for(lambda: not made.is_asking, "both answers")
    assert made.look().why_none == "one: one is being repaired"
    keep_offers(world.cache, "one", QUERY, Offers(offers=(offer("one", "H100", "2.10"),)))
    assert (made.look().why_none, made.look().notes) == ("", ("one: one is being repaired.",))
    world.ready = ["two"]
    assert world.open().look().offers


def test_one_thread_asks_while_another_looks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is asked for the first time meanwhile breaks no look."""
    shop = world.open()
    shop.ask()

    def hopes(name: str) -> bool:
        shop._asked_at[f"{name} and another"] = 0.0
        return False

    monkeypatch.setattr(shop, "_hopes", hopes)
    assert not shop.is_asking
