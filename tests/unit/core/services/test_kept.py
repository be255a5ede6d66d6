"""What registries said before: found by the account that was told, and dropped with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio.core.errors import StudioError
from peft_studio.core.offline.cache import Cache
from peft_studio.core.ports import ModelDetails, Page, Query, RegistryModel
from peft_studio.core.services.kept import LONG_KEPT_S, Kept


class World:
    def __init__(self, folder: Path) -> None:
        self.now, self.account = 1e9, "ann"
        self.cache = Cache(folder, now=lambda: self.now)
        self.kept = Kept(self.cache, self.who)

    def who(self, registry: str) -> str:
        return self.account

    def count(self, text: str = "") -> int | None:
        found = self.kept.find_page("hub", Query(text=text))
        return found and len(found[0].models)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "cache")


def page(count: int, cursor: str | None = None) -> Page:
    return Page(models=tuple(RegistryModel(id=f"m{n}", registry="hub") for n in range(count)), next_cursor=cursor)


DETAILS = ModelDetails(model=RegistryModel(id="m", registry="hub"), card="x", config={"a": 1})


def test_an_answer_is_found_by_its_question_whatever_the_limit(world: World) -> None:
    """With its age."""
    world.kept.keep_page("hub", Query(text="x", limit=50), page(3), "ann")
    world.now += 7200

    found = world.kept.find_page("hub", Query(text="x", limit=5))
    assert found == (page(3), "as of 2 h ago")
    assert world.kept.find_page("hub", Query(text="x", task=None)) is None
    assert world.kept.find_page("other", Query(text="x")) is None


def test_another_account_does_not_see_it(world: World) -> None:
    """Nor does what comes back after the account has changed, or was disconnected, stay."""
    world.kept.keep_page("hub", Query(), page(1), "ann")
    world.kept.keep_details("hub", "m", DETAILS, "ann")
    assert world.kept.find_details("hub", "m") == (DETAILS, "just now")
    world.account = ""
    assert (world.count(), world.kept.find_details("hub", "m")) == (None, None)

    world.kept.keep_page("hub", Query(text="late"), page(1), "ann")
    world.kept.keep_details("hub", "late", DETAILS, "ann")
    world.account = "ann"
    assert (world.count("late"), world.kept.find_details("hub", "late")) == (None, None)
    assert world.count() == 1


def test_forgetting_a_registry_leaves_the_others(world: World) -> None:
    """Its pages and details of every account; not those of one whose name begins alike, nor other things in the cache."""
    for name in ("hub", "hub2"):
        world.kept.keep_page(name, Query(), page(1), "ann")
        world.kept.keep_details(name, "m", DETAILS, "ann")
    world.cache.save("offers", 1)
    (world.cache.folder / "damaged.json").write_bytes(b"\xff\n{}")
    world.kept.forget("hub")

    assert (world.count(), world.kept.find_details("hub", "m")) == (None, None)
    assert world.kept.find_page("hub2", Query()) is not None
    assert world.kept.find_details("hub2", "m") is not None
    assert world.cache.find("offers") is not None
    assert not any(b"registry hub " in path.read_bytes() for path in world.cache.folder.iterdir())


def test_a_short_answer_does_not_replace_a_long_one_of_this_hour(world: World) -> None:
    """A later one does, and so does one that is short because that is all."""
    world.kept.keep_page("hub", Query(limit=50), page(50, "more"), "ann")
    world.kept.keep_page("hub", Query(limit=5), page(5, "more"), "ann")
    assert world.count() == 50
    world.kept.keep_page("hub", Query(limit=50), page(4), "ann")
    assert world.count() == 4
    world.kept.keep_page("hub", Query(limit=50), page(50, "more"), "ann")
    world.now += LONG_KEPT_S + 1
    world.kept.keep_page("hub", Query(limit=5), page(5, "more"), "ann")
    assert world.count() == 5


def test_what_cannot_be_read_counts_as_nothing(world: World) -> None:
    """A newer program's answers, an account nobody can tell, a config of a stranger's connector that is no JSON."""
    world.kept.keep_page("hub", Query(), page(1), "ann")
    for path in world.cache.folder.iterdir():
        key = path.read_bytes().partition(b'"key": "')[2].partition(b'", "fetched_at')[0]
        world.cache.save(key.decode().replace('\\"', '"'), {"unknown": 1})
    assert world.count() is None

    def unknown(registry: str) -> str:
        raise StudioError("connections.json cannot be read.")

    lost = Kept(world.cache, unknown)
    lost.keep_page("hub", Query(text="x"), page(1), lost.account("hub"))
    assert world.count("x") is None
    world.kept.keep_details("hub", "odd", DETAILS.model_copy(update={"config": {"a": object()}}), "ann")
    assert world.kept.find_details("hub", "odd") is None
