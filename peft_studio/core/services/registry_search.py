"""One search over several registries, whose answers are taken as they come, and kept for a time without a network.

Beside :mod:`peft_studio.core.services.browse`, which waits and merges, this is for whoever shows what is there so far.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from peft_studio.core.errors import Offline, StudioError
from peft_studio.core.offline.cache import Cache, Cached
from peft_studio.core.ports.catalog import Catalog, Pending
from peft_studio.core.ports.registry import ModelDetails, Page, Query, Registry, RegistryModel

SEARCH_S = 20.0  # nobody waits for it, so a slow one may take its time
DETAILS_S = 30.0
LATE_S = 3.0  # after which a registry is said to be slow

Kept = TypeVar("Kept", Page, ModelDetails)
State = Literal["asking", "late", "answered", "failed", "offline"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One registry's part so far.

    Attributes:
        as_of: How old an answer of before is, and why there is no newer one; empty for a fresh one.
        why_not: Why there is none.
        next_cursor: Where its next page begins.
    """

    registry: str
    state: State
    models: tuple[RegistryModel, ...] = ()
    as_of: str = ""
    why_not: str = ""
    next_cursor: str | None = None


class RegistrySearch:
    """Asks all registries at once when it is made. ``answers`` never waits.

    Args:
        make_ready: Sees to a registry's keys before it is asked.
    """

    def __init__(
        self,
        catalog: Catalog,
        registries: Sequence[str],
        query: Query,
        *,
        cache: Cache,
        make_ready: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.query = query
        self._cache = cache
        self._began_at = time.monotonic()
        self._reading = threading.Lock()
        self._settled: dict[str, Answer] = {}
        self._calls: dict[str, Pending[Page]] = {}
        self._names = tuple(registries)
        for name in registries:
            try:
                make_ready(name)
                self._calls[name] = catalog.start(name, Page, lambda one: _search(one, query), deadline_s=SEARCH_S)
            except StudioError as exc:
                self._settled[name] = self._from_before(name, exc)

    @property
    def is_over(self) -> bool:
        """Whether every registry has answered, or will not."""
        return len(self._settled) == len(self._names)

    def answers(self) -> list[Answer]:
        """What there is by now, registry by registry."""
        with self._reading:
            return [self._answer(name) for name in self._names]

    def _answer(self, name: str) -> Answer:
        if name in self._settled:
            return self._settled[name]
        call, waited_s = self._calls[name], time.monotonic() - self._began_at
        if not call.done() and waited_s < SEARCH_S:
            return Answer(name, "late" if waited_s > LATE_S else "asking")
        try:
            page = call.result()
        except StudioError as exc:
            self._settled[name] = self._from_before(name, exc)
        else:
            keep(self._cache, _key(name, self.query), page)
            self._settled[name] = Answer(name, "answered", page.models, next_cursor=page.next_cursor)
        return self._settled[name]

    def _from_before(self, name: str, error: StudioError) -> Answer:
        """What this registry said to the same question before, with its age, in place of an answer."""
        state: State = "offline" if isinstance(error, Offline) else "failed"
        known = self._cache.find(_key(name, self.query))
        page = _read(Page, known)
        if known is None or page is None:
            return Answer(name, state, why_not=error.message)
        return Answer(name, state, page.models, as_of=known.as_of, why_not=error.message)


def fetch_details_or_known(
    catalog: Catalog,
    registry: str,
    model: str,
    *,
    cache: Cache,
    make_ready: Callable[[str], None] = lambda name: None,
) -> tuple[ModelDetails, str]:
    """All that a registry says of one model, and how old that is (empty: of now).

    Raises:
        StudioError: It cannot be had, and was never had here.
    """
    key = f"model {registry} {model}"
    try:
        make_ready(registry)
        found = catalog.start(registry, ModelDetails, lambda one: one.get_model(model), deadline_s=DETAILS_S).result()
    except StudioError:
        known = cache.find(key)
        details = _read(ModelDetails, known)
        if known is None or details is None:
            raise
        return details, known.as_of
    keep(cache, key, found)
    return found, ""


def keep(cache: Cache, key: str, value: Page | ModelDetails) -> None:
    """Keep an answer for a time without a network, if the disk takes it."""
    try:
        cache.save(key, value.model_dump(mode="json"))
    except (OSError, ValueError):  # ValueError: a config with a NaN is no JSON
        return


def _read(kind: type[Kept], known: Cached | None) -> Kept | None:
    """A value as it was kept; None where it is of an older version of this program."""
    if known is None:
        return None
    try:
        return kind.model_validate(known.value)
    except ValueError:
        return None


def _search(registry: Registry, query: Query) -> Page:
    return registry.search(query)


def _key(registry: str, query: Query) -> str:
    return f"models {registry} {query.model_dump_json()}"
