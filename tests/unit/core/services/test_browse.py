"""One search over several registries: merged, and a hung one delays nobody."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import Offline, RateLimited, VaultLocked
from peft_studio.core.offline.cache import Cache
from peft_studio.core.ports import Page, Query, RegistryModel
from peft_studio.core.services import gather
from peft_studio.core.services.browse import search_models
from peft_studio.core.services.kept import Kept
from peft_studio.core.services.model_list import ModelList
from tests.unit.connectors.catalog import hostile
from tests.unit.connectors.catalog.hostile import Good, make_info

DEADLINE_S = 1.5


def model(registry: str, number: int, **facts: Any) -> RegistryModel:
    return RegistryModel(id=f"{registry}/{number}", registry=registry, **facts)


class World:
    """Registries whose searches are functions, which may change."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.searches: dict[str, Callable[[Query], Page]] = {}
        self.asked: list[str] = []
        self._home, self._patch = home, monkeypatch
        self.kept = Kept(Cache(home / "cache"))

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

    def find(self, names: list[str], *, catalog: Catalog | None = None, **options: Any) -> ModelList:
        facts = {name: options.pop(name) for name in list(options) if name in Query.model_fields}
        asked = Query(**facts)
        return search_models(
            catalog or self.catalog(), names, asked, kept=self.kept, **{"deadline_s": DEADLINE_S, **options}
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


def test_the_best_of_each_come_first(world: World) -> None:
    """The registry that found most begins; downloads of different ones are not compared; the limit holds for all together."""
    found = world.find(["two", "one"], limit=3)

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

    assert [row.id for row in world.find(["one", "two"], sort="updated", order="updated")] == [
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

    found = world.find(["one", "three", "four", "five"], make_ready=make_ready)

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
        found = world.find(["slow", "one", "two"], catalog=catalog, deadline_s=4.0)
        took.append(time.monotonic() - began)
        assert len(found) == 4
        assert set(found.missing) == {"slow"}

    assert took[0] >= 3.9
    assert max(took[1:]) < 3
    hung.set()
    until = time.monotonic() + 60
    while not catalog.health("slow").ok:
        assert time.monotonic() < until
        world.find(["slow", "one"], catalog=catalog)
    assert [row.id for row in world.find(["slow", "two"], catalog=catalog)] == ["slow/0", "two/0"]


def test_a_registry_that_is_new_costs_less_than_its_deadline(
    world: World, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once another has answered; nothing is known of it yet, and it is named first."""
    monkeypatch.setattr(gather, "LEAST_S", 0.2)
    world.add("slow", lambda query: over.wait(20) and Page(models=()))  # type: ignore[arg-type, return-value]
    began = time.monotonic()

    found = world.find(["slow", "one"], deadline_s=10)

    assert time.monotonic() - began < 5
    assert "was not waited for any longer" in found.missing["slow"]


def test_one_that_is_slow_by_nature_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as long as it took last time, however fast the others are."""
    monkeypatch.setattr(gather, "LEAST_S", 0.01)
    pace = threading.Event()
    world.add("slow", lambda query: pace.wait(0.3) or Page(models=(model("slow", 0),)))  # type: ignore[arg-type, return-value]
    catalog = world.catalog()
    catalog.call("slow", Page, lambda registry: registry.search(Query()), deadline_s=5)

    assert len(world.find(["slow", "two"], catalog=catalog, deadline_s=5)) == 2


def test_where_all_were_slow_they_are_waited_for(world: World, over: threading.Event) -> None:
    """There is nothing to show without them."""
    gate = threading.Event()

    def first_hang(query: Query) -> Page:
        gate.wait(20)
        return Page(models=(model("slow", 0),))

    world.add("slow", first_hang)
    catalog = world.catalog()
    assert set(world.find(["slow"], catalog=catalog).missing) == {"slow"}
    threading.Timer(0.1, gate.set).start()
    assert [row.id for row in world.find(["slow"], catalog=catalog)] == ["slow/0"]


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
    found = world.find(["two"])

    assert "<img" not in found._repr_html_()
    assert "\u202e" not in repr(found)
    assert "135M" in repr(found)
    assert "269 MB" in repr(found)
    assert "1.2M (all time)" in repr(found)
    assert repr(found).splitlines()[1].count("—") == 3
    assert list(found.to_pandas().id) == [evil.id]
    assert repr(world.find([], limit=1)) == "No models."


def numbered(query: Query, *, of: int, name: str) -> Page:
    """So many models, by pages whose cursor is the first number."""
    first = int(query.cursor or 0)
    models = tuple(model(name, n, parameters=1000 - n) for n in range(first, min(of, first + query.limit)))
    return Page(models=models, next_cursor=str(first + query.limit) if first + query.limit < of else None)


def test_more_brings_the_next_ones_behind_the_first(world: World) -> None:
    """What was there stays where it is; a registry at its end is not asked again; at the end the list stays as it is."""
    world.searches["one"] = lambda query: numbered(query, of=9, name="one")
    world.searches["two"] = lambda query: numbered(query, of=3, name="two")
    found = world.find(["one", "two"], limit=4)
    lists = [found]
    while lists[-1].has_more:
        lists.append(lists[-1].more())

    assert [len(one) for one in lists] == [4, 8, 12]
    for before, after in itertools.pairwise(lists):
        assert list(after)[: len(before)] == list(before)
    assert sorted(row.id for row in lists[-1]) == sorted(
        [f"one/{n}" for n in range(9)] + [f"two/{n}" for n in range(3)]
    )
    assert world.asked == ["one", "two", "one", "one"]
    assert lists[-1].more() is lists[-1]


def test_a_page_that_fails_can_be_asked_for_again(world: World) -> None:
    """The rows before stay, with the reason below them; what moved to the next page in the meantime is not shown twice."""
    world.searches["one"] = lambda query: numbered(query, of=6, name="one")
    found = world.find(["one"], limit=3)

    def refuse(query: Query) -> Page:
        raise RateLimited("Fewer requests, please.")

    world.searches["one"] = refuse
    failed = found.more()
    assert ([row.id for row in failed], failed.missing, failed.has_more) == (
        ["one/0", "one/1", "one/2"],
        {"one": "Fewer requests, please."},
        True,
    )
    world.searches["one"] = lambda query: Page(models=(model("one", 2), model("one", 3)))
    assert [row.id for row in failed.more()] == ["one/0", "one/1", "one/2", "one/3"]


def test_without_a_network_it_says_what_was_said_before_with_its_age(world: World) -> None:
    """To the same question alone, for as many or fewer; each row has its age, and pages that were had are had again."""
    world.searches["one"] = lambda query: numbered(query, of=6, name="one")
    asked = world.find(["one", "two"], text="x", limit=4)
    both = asked.more()

    def gone(query: Query) -> Page:
        raise Offline("It needs the network.")

    world.searches["one"] = gone
    before = world.find(["one", "two"], text="x", limit=4)
    assert list(before) == list(asked)
    assert [before.age(row) for row in before] == ["just now" if row.registry == "one" else "" for row in before]
    assert "as of" in repr(before).splitlines()[0]
    assert "one: It needs the network. Here are 4 just now." in repr(before)
    assert set(before.to_pandas().as_of) == {"just now", "now"}
    assert {row.id for row in before.more()} == {row.id for row in both}
    assert len(world.find(["one"], text="x", limit=2)) == 2
    assert (len(world.find(["one"], text="y")), "as of" in repr(asked)) == (0, False)


def test_sizes_are_compared_among_what_was_found(world: World) -> None:
    """Smallest first over all registries, unknown last."""
    for name, sizes in (("one", (5, None)), ("two", (9, 1))):
        models = tuple(model(name, n, size_bytes=size, parameters=size) for n, size in enumerate(sizes))
        world.searches[name] = lambda query, models=models: Page(models=models)
    for order in ("size", "parameters"):
        found = world.find(["one", "two"], order=order)
        assert [row.id for row in found] == ["two/1", "one/0", "two/0", "one/1"]
