"""A search whose answers are taken as they come: fresh, of before, or why not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import NotFound, Offline, Unavailable
from peft_studio.core.offline.cache import Cache
from peft_studio.core.ports import ModelDetails, Page, Query, RegistryModel
from peft_studio.core.services.kept import Kept
from peft_studio.core.services.registry_search import RegistrySearch, fetch_details_or_known
from tests.conftest import wait_for
from tests.unit.connectors.catalog import hostile
from tests.unit.connectors.catalog.hostile import Good, make_info

Work = Callable[[Query], Page]


def page(*names: str) -> Page:
    return Page(models=tuple(RegistryModel(id=name, registry="one") for name in names))


class World:
    """One registry, whose answers may change."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.search: Work = lambda query: page("a", "b")
        self.model: Callable[[str], ModelDetails] = lambda name: ModelDetails(
            model=RegistryModel(id=name, registry="one"), card="x", config={"a": 1}
        )
        self.gone = False
        info = make_info("one", connector=f"{hostile.__name__}:searched_one")
        methods = {
            "info": info,
            "search": lambda _, query: self.search(query),
            "get_model": lambda _, name: self.model(name),
        }
        patch.setattr(hostile, "searched_one", type("One", (Good,), methods), raising=False)
        self.catalog = Catalog(home, sources=[Source("one", "test", lambda: info)], gate=self._gate)
        self.account = "ann"
        self.cache = Cache(home / "cache")
        self.kept = Kept(self.cache, lambda name: self.account)

    def _gate(self, info: Any) -> None:
        if self.gone:
            raise Offline(f"{info.title} needs the network.")

    def ask(self, text: str = "") -> RegistrySearch:
        return RegistrySearch(self.catalog, ["one"], Query(text=text), kept=self.kept)

    def settle(self, text: str = "") -> Any:
        found = self.ask(text)
        wait_for(lambda: bool(found.answers()) and found.is_over, "the answer")
        return found.answers()[0]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_answers_never_waits(world: World, over: threading.Event) -> None:
    """A registry that hangs is asked, and then answers."""
    world.search = lambda query: page("late") if over.wait(30) else page()
    found = world.ask()
    assert [(one.state, one.models, found.is_over) for one in found.answers()] == [("asking", (), False)]

    over.set()
    wait_for(lambda: found.answers()[0].state == "answered", "the answer")
    assert [model.id for model in found.answers()[0].models] == ["late"]


def test_what_was_said_before_stands_in_with_its_age(world: World) -> None:
    """To the same question alone; offline nothing is asked, and a failure says why."""
    assert world.settle("x").state == "answered"
    world.gone = True
    offline, never = world.settle("x"), world.settle("never asked")

    assert (offline.state, len(offline.models), offline.as_of) == ("offline", 2, "just now")
    assert (never.state, never.models, never.as_of) == ("offline", (), "")
    assert "needs the network" in never.why_not

    def fail(query: Query) -> Page:
        raise Unavailable("No answer from one.", platform="one")

    world.gone, world.search = False, fail
    failed = world.settle("x")
    assert (failed.state, len(failed.models), failed.why_not) == ("failed", 2, "No answer from one.")


def test_further_pages_come_behind_the_first(world: World, over: threading.Event) -> None:
    """What is there stays in sight while the next page is asked for; one that fails can be asked for again."""
    first = Page(models=page("a", "b").models, next_cursor="2")
    world.search = lambda query: (over.wait(30) and page("b", "c")) if query.cursor else first  # type: ignore[return-value]
    found = world.ask("x")
    wait_for(lambda: bool(found.answers()) and found.is_over, "the first page")
    found.more()

    assert [(one.state, [model.id for model in one.models]) for one in found.answers()] == [("asking", ["a", "b"])]
    over.set()
    wait_for(lambda: found.answers()[0].state == "answered", "the second page")
    (answer,) = found.answers()
    assert ([model.id for model in answer.models], answer.next_cursor) == (["a", "b", "c"], None)

    world.gone = True
    again = world.ask("x")
    again.more()
    assert [model.id for model in again.answers()[0].models] == ["a", "b", "c"]  # both pages, of before
    never = Page(models=first.models, next_cursor="never")
    world.gone, world.search = False, lambda query: never
    found = world.ask("y")
    wait_for(lambda: bool(found.answers()) and found.is_over, "the first page")
    world.gone = True
    found.more()
    (answer,) = found.answers()
    assert (answer.state, len(answer.models), answer.next_cursor) == ("offline", 2, "never")


def test_details_are_kept_too(world: World) -> None:
    """With their card and config; what was never fetched is not made up."""
    ask = lambda name: fetch_details_or_known(world.catalog, "one", name, kept=world.kept)  # noqa: E731
    fresh, as_of = ask("m")
    world.gone = True
    kept, kept_as_of = ask("m")

    assert (as_of, kept_as_of, kept) == ("", "just now", fresh)
    with pytest.raises(Offline):
        ask("other")

    def missing(name: str) -> ModelDetails:
        raise NotFound("None of that name.", platform="one")

    world.gone, world.model = False, missing
    with pytest.raises(NotFound):
        ask("other")
