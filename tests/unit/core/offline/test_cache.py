"""Values and their age: which is given when, what a damaged file does, how much is kept."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.errors import NotCached, StudioError
from peft_studio.core.offline.cache import Cache
from tests.unit.core.offline.conftest import KEY, OTHER_KEY, Clock


@pytest.fixture
def cache(memory: Path, clock: Clock) -> Cache:
    return Cache(memory / "cache", key=KEY, now=clock)


def fails(error: Exception) -> Any:
    def fetch() -> Any:
        raise error

    return fetch


def never() -> Any:
    pytest.fail("it was fetched")


def test_young_enough_is_not_fetched(cache: Cache, clock: Clock) -> None:
    """Up to the age that was asked for."""
    first = cache.fetch("k", fetch=lambda: {"a": [1, None]}, max_age_s=60)
    clock.now += 60
    again = cache.fetch("k", fetch=never, max_age_s=60)
    clock.now += 1
    newer = cache.fetch("k", fetch=lambda: 2, max_age_s=60)

    assert (first.value, first.age_s, first.stale, first.as_of) == ({"a": [1, None]}, 0.0, False, "just now")
    assert (again.value, again.age_s, again.as_of) == ({"a": [1, None]}, 60.0, "as of 1 m ago")
    assert (newer.value, newer.age_s) == (2, 0.0)
    assert again.fetched_at == first.fetched_at < newer.fetched_at


def test_offline_an_old_value_is_given_with_its_age(cache: Cache, clock: Clock) -> None:
    """And none that is not there: that is said."""
    cache.save("k", 1)
    clock.now += 3 * 3600 + 1800
    old = cache.fetch("k", fetch=never, max_age_s=60, offline="on a plane")

    assert (old.value, old.stale, old.as_of) == (1, True, "as of 3 h ago (offline: on a plane)")
    with pytest.raises(NotCached, match="never fetched here"):
        cache.fetch("other", fetch=never, max_age_s=60, offline=True)


def test_when_fetching_fails_an_old_value_is_given_with_the_reason(cache: Cache, clock: Clock) -> None:
    """Without one the error is the answer; what is a mistake in the code stays one."""
    cache.save("k", 1)
    clock.now += 90
    old = cache.fetch("k", fetch=fails(StudioError("status 503", hint="wait")), max_age_s=60)

    assert (old.value, old.stale, old.why) == (1, True, "status 503")
    assert cache.fetch("k", fetch=fails(OSError("no route")), max_age_s=60).why == "no route"
    with pytest.raises(StudioError, match="503"):
        cache.fetch("other", fetch=fails(StudioError("status 503")), max_age_s=60)
    with pytest.raises(KeyError):
        cache.fetch("k", fetch=fails(KeyError("bug")), max_age_s=60)


def test_a_clock_that_jumps(cache: Cache, clock: Clock) -> None:
    """A value from the future is not fresh for ever; a small step back is nothing."""
    cache.save("k", 1)
    clock.now -= 30
    assert cache.fetch("k", fetch=never, max_age_s=60).age_s == 0.0
    clock.now -= 86_400
    from_the_future = cache.find("k")

    assert from_the_future
    assert (from_the_future.age_s, from_the_future.as_of) == (None, "of unknown age")
    assert cache.fetch("k", fetch=lambda: 2, max_age_s=60).value == 2


def test_every_damage_counts_as_missing(cache: Cache) -> None:
    """Every truncation, every flipped bit of it: a value is never another one."""
    cache.save("k", {"price": "1.25"})
    path = next(cache.folder.iterdir())
    whole = path.read_bytes()
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        assert cache.find("k") is None
        for bit in range(8):
            path.write_bytes(whole[:n] + bytes([whole[n] ^ (1 << bit)]) + whole[n + 1 :])
            found = cache.find("k")
            assert found is None or found.value == {"price": "1.25"}  # a bit of the time it was fetched at
    path.write_bytes(whole)

    assert cache.fetch("k", fetch=never, max_age_s=60).value == {"price": "1.25"}


def test_a_file_under_another_name_is_not_taken_for_its_value(cache: Cache) -> None:
    """The key is in the file."""
    cache.save("a", 1)
    cache.save("b", 2)
    one, other = sorted(cache.folder.iterdir())
    os.replace(one, other)

    assert [cache.find("a"), cache.find("b")].count(None) == 2


def test_sealed_values(cache: Cache, clock: Clock) -> None:
    """Not readable on disk, missing without the key, and one cannot be had in the place of another."""
    cache.save("k", "CANARY", sealed=True)
    path = next(cache.folder.iterdir())

    assert b"CANARY" not in path.read_bytes()
    assert cache.find("k").value == "CANARY"  # type: ignore[union-attr]
    assert Cache(cache.folder, key=OTHER_KEY, now=clock).find("k") is None
    assert Cache(cache.folder, now=clock).find("k") is None
    with pytest.raises(ValueError, match="without a key"):
        Cache(cache.folder, now=clock).save("k", 1, sealed=True)
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_what_was_not_used_for_longest_goes_first(memory: Path) -> None:
    """The folder stays below its bound; what is read stays."""
    cache = Cache(memory / "cache", most_bytes=40_000)
    for n in range(200):
        cache.save(f"k{n}", "x" * 800)
        assert cache.find("k0")
    size = sum(path.stat().st_size for path in cache.folder.iterdir())
    kept = [n for n in range(200) if cache.find(f"k{n}")]

    assert size <= 40_000
    assert len(kept) > 25
    assert kept == [0, *range(200 - len(kept) + 1, 200)]


def test_one_that_is_too_big_is_not_kept(memory: Path) -> None:
    """It would push out the rest; it is given all the same."""
    cache = Cache(memory / "cache", most_bytes=1000)
    cache.save("small", 1)

    assert cache.fetch("big", fetch=lambda: "x" * 900, max_age_s=60).value == "x" * 900
    assert cache.find("big") is None
    assert cache.find("small")


def test_a_disk_that_takes_nothing_hides_no_value(cache: Cache) -> None:
    """It is fetched again next time."""
    cache.folder.parent.mkdir(exist_ok=True)
    cache.folder.write_text("a file where the folder should be")

    assert cache.fetch("k", fetch=lambda: 1, max_age_s=60).value == 1


def test_forget_and_clear(cache: Cache) -> None:
    """One, or all; none is no error."""
    cache.clear()
    cache.save("a", 1)
    cache.save("b", 2)
    cache.forget("a")
    cache.forget("a")
    assert (cache.find("a"), cache.find("b").value) == (None, 2)  # type: ignore[union-attr]
    cache.clear()
    assert cache.find("b") is None


def test_many_writers_never_show_half_a_value(memory: Path) -> None:
    """Readers see one of the values that were written, whole."""
    folder, seen = memory / "cache", list[Any]()

    def write(number: int) -> None:
        cache = Cache(folder, most_bytes=30_000)
        for _ in range(100):
            cache.save("k", [number] * 200)
            found = cache.find("k")
            seen.append(found and found.value)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 400
    assert {json.dumps(value) for value in seen} <= {json.dumps([n] * 200) for n in range(4)}
