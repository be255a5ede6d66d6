"""One search over several registries: merged, and a hung one delays nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import NotFound, RateLimited, VaultLocked
from peft_studio.core.ports import Page, Query, RegistryModel
from peft_studio.core.services import gather
from peft_studio.core.services.browse import fetch_details, search_models
from tests.unit.connectors.catalog import hostile
from tests.unit.connectors.catalog.hostile import Good, make_info

DEADLINE_S = 0.5


def model(registry: str, number: int, **facts: Any) -> RegistryModel:
    return RegistryModel(id=f"{registry}/{number}", registry=registry, **facts)


class World:
    """Registries whose searches are functions, which may change."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.searches: dict[str, Callable[[Query], Page]] = {}
        self.asked: list[str] = []
        self._home, self._patch = home, monkeypatch

    def add(self, name: str, search: Callable[[Query], Page]) -> None:
        def ask(registry: Any, query: Query) -> Page:
            self.asked.append(name)
            return self.searches[name](query)

        self.searches[name] = search
        info = make_info(name, connector=f"{hostile.__name__}:world_{name}")
        self._patch.setattr(hostile, f"world_{name}", type(name, (Good,), {"info": info, "search": ask}), raising=False)

    def catalog(self) -> Catalog:
        infos = {name: getattr(hostile, f"world_{name}").info for name in self.searches}
        return Catalog(
            self._home, sources=[Source(name, "test", lambda info=info: info) for name, info in infos.items()]
        )


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, monkeypatch)
    made.add(
        "one",
        lambda query: Page(
            models=tuple(model("one", n, downloads=100 - n, downloads_over="30 days") for n in range(3)),
            next_cursor="more",
        ),
    )
    made.add("two", lambda query: Page(models=(model("two", 0, downloads=10**6, downloads_over="all time"),)))
    return made


def search(catalog: Catalog, *names: str, **facts: Any) -> Any:
    return search_models(catalog, names, Query(**facts), deadline_s=DEADLINE_S)


def test_the_best_of_each_come_first(world: World) -> None:
    """The registry that found most begins; downloads of different ones are not compared; the limit holds for all together."""
    found = search(world.catalog(), "two", "one", limit=3)

    assert [row.id for row in found] == ["one/0", "two/0", "one/1"]
    assert [(part.registry, part.count, part.next_cursor) for part in found.parts] == [
        ("two", 1, None),
        ("one", 3, "more"),
    ]
    assert found.missing == {}


def test_times_are_compared(world: World) -> None:
    """Sorted by date over all of them, what has none last."""
    for name, days in (("one", (1, 9)), ("two", (5, None))):
        models = tuple(
            model(name, n, updated_at=day and datetime(2026, 1, day, tzinfo=UTC)) for n, day in enumerate(days)
        )
        world.searches[name] = lambda query, models=models: Page(models=models)

    assert [row.id for row in search(world.catalog(), "one", "two", sort="updated")] == [
        "one/1",
        "two/0",
        "one/0",
        "two/1",
    ]


def test_what_fails_is_said_and_the_rest_is_there(world: World) -> None:
    """A refusal, junk, and keys that cannot be read: each with its reason, in words and in the table."""

    def refuse(query: Query) -> Page:
        raise RateLimited("Three <i>asks</i> for fewer requests.", hint="Later.")

    def make_ready(name: str) -> None:
        if name == "five":
            raise VaultLocked("The vault is locked.")

    world.add("three", refuse)
    world.add("four", lambda query: 4)  # type: ignore[arg-type, return-value]
    world.add("five", lambda query: Page(models=()))

    found = search_models(world.catalog(), ["one", "three", "four", "five"], Query(), make_ready=make_ready)

    assert len(found) == 3
    assert found.missing["three"] == "Three <i>asks</i> for fewer requests."
    assert "gave a int where a Page belongs" in found.missing["four"]
    assert found.missing["five"] == "The vault is locked."
    assert "five" not in world.asked
    assert "three: Three <i>asks</i> for fewer requests." in repr(found)
    assert "three: Three &lt;i&gt;asks" in found._repr_html_()


def test_a_hung_registry_costs_its_deadline_once_and_then_nothing(
    world: World, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first search waits for it; the next ones do not; when it answers again it is waited for again."""
    hung = threading.Event()

    def hang(query: Query) -> Page:
        hung.wait(20)
        return Page(models=(model("slow", 0),))

    world.add("slow", hang)
    catalog = world.catalog()
    took = []
    monkeypatch.setattr(gather, "LEAST_S", 20.0)
    for _ in range(3):
        began = time.monotonic()
        found = search(catalog, "slow", "one", "two")
        took.append(time.monotonic() - began)
        assert len(found) == 4
        assert set(found.missing) == {"slow"}

    assert took[0] >= DEADLINE_S * 0.9
    assert max(took[1:]) < DEADLINE_S / 2
    hung.set()
    until = time.monotonic() + 10
    while not catalog.health("slow").ok:
        assert time.monotonic() < until
        search(catalog, "slow", "one")
    assert [row.id for row in search(catalog, "slow", "two")] == ["slow/0", "two/0"]


def test_a_registry_that_is_new_costs_less_than_its_deadline(
    world: World, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once another has answered; nothing is known of it yet, and it is named first."""
    monkeypatch.setattr(gather, "LEAST_S", 0.2)
    world.add("slow", lambda query: over.wait(20) and Page(models=()))  # type: ignore[arg-type, return-value]
    began = time.monotonic()

    found = search_models(world.catalog(), ["slow", "one"], Query(), deadline_s=10)

    assert time.monotonic() - began < 5
    assert "was not waited for any longer" in found.missing["slow"]


def test_one_that_is_slow_by_nature_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as long as it took last time, however fast the others are."""
    monkeypatch.setattr(gather, "LEAST_S", 0.01)
    pace = threading.Event()
    world.add("slow", lambda query: pace.wait(0.3) or Page(models=(model("slow", 0),)))  # type: ignore[arg-type, return-value]
    catalog = world.catalog()
    catalog.call("slow", Page, lambda registry: registry.search(Query()), deadline_s=5)

    assert len(search_models(catalog, ["slow", "two"], Query(), deadline_s=5)) == 2


def test_where_all_were_slow_they_are_waited_for(world: World, over: threading.Event) -> None:
    """There is nothing to show without them."""
    gate = threading.Event()

    def first_hang(query: Query) -> Page:
        gate.wait(20)
        return Page(models=(model("slow", 0),))

    world.add("slow", first_hang)
    catalog = world.catalog()
    assert set(search(catalog, "slow").missing) == {"slow"}
    threading.Timer(0.1, gate.set).start()
    assert [row.id for row in search(catalog, "slow")] == ["slow/0"]


def test_a_table_shows_dashes_and_no_markup(world: World) -> None:
    """What is not known is "—"; a hostile name is text."""
    evil = RegistryModel(
        id="<img src=x onerror=alert(1)>",
        registry="two",
        licence="x\u202ey",
        downloads=1_234_567,
        downloads_over="all time",
        parameters=134_515_008,
        size_bytes=269_030_016,
    )
    world.searches["two"] = lambda query: Page(models=(evil,))
    found = search(world.catalog(), "two")

    assert "<img" not in found._repr_html_()
    assert "\u202e" not in repr(found)
    assert "135M" in repr(found)
    assert "269 MB" in repr(found)
    assert "1.2M (all time)" in repr(found)
    assert repr(found).splitlines()[1].count("—") == 3
    assert list(found.to_pandas().id) == [evil.id]
    assert repr(search(world.catalog(), limit=1)) == "No models."


def test_details_come_from_one_registry(world: World) -> None:
    """Its errors are its own."""

    def missing(registry: Any, model: str) -> Any:
        raise NotFound("none")

    catalog = world.catalog()
    assert fetch_details(catalog, "one", "a/b").model == hostile.MODEL
    hostile.world_one.get_model = missing  # type: ignore[attr-defined]
    with pytest.raises(NotFound):
        fetch_details(catalog, "one", "a/b")
