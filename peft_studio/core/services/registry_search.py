"""One search over several registries, whose answers are taken as they come, and kept for a time without a network.

Beside :mod:`peft_studio.core.services.browse`, which waits and merges, this is for whoever shows what is there so far.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from peft_studio.core.errors import Offline, StudioError
from peft_studio.core.ports.catalog import Catalog, Pending
from peft_studio.core.ports.registry import ModelDetails, Page, Query, Registry, RegistryModel
from peft_studio.core.services.kept import Kept

SEARCH_S = 20.0  # nobody waits for it, so a slow one may take its time
DETAILS_S = 30.0
LATE_S = 3.0  # after which a registry is said to be slow

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
        kept: Kept,
        make_ready: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.query = query
        self._catalog, self._kept, self._make_ready = catalog, kept, make_ready
        self._lock = threading.RLock()
        self._asked = {name: _Asked(name, query) for name in registries}
        for name in registries:
            self._ask(name)

    @property
    def is_over(self) -> bool:
        """Whether every registry has answered, or will not."""
        return all(one.settled for one in self._asked.values())

    def answers(self) -> list[Answer]:
        """What there is by now, registry by registry."""
        with self._lock:
            return [self._answer(one) for one in self._asked.values()]

    def more(self) -> None:
        """Ask for the next page of each registry that has one. What is there stays, and its answers come behind it."""
        with self._lock:
            for answer in self.answers():
                if answer.next_cursor and self._asked[answer.registry].settled:
                    query = self.query.model_copy(update={"cursor": answer.next_cursor})
                    self._asked[answer.registry] = _Asked(answer.registry, query, before=answer)
                    self._ask(answer.registry)

    def _ask(self, name: str) -> None:
        asked = self._asked[name]
        asked.account = self._kept.account(name)
        try:
            self._make_ready(name)
            search = functools.partial(_search, asked.query)
            asked.call = self._catalog.start(name, Page, search, deadline_s=SEARCH_S)
        except StudioError as exc:
            asked.settled = self._from_before(asked, exc)

    def _answer(self, asked: _Asked) -> Answer:
        if asked.settled:
            return asked.settled
        assert asked.call is not None  # or it would be settled
        waited_s = time.monotonic() - asked.began_at
        if not asked.call.done() and waited_s < SEARCH_S:
            return asked.then(Answer(asked.name, "late" if waited_s > LATE_S else "asking"))
        try:
            page = asked.call.result()
        except StudioError as exc:
            asked.settled = self._from_before(asked, exc)
        else:
            self._kept.keep_page(asked.name, asked.query, page, asked.account)
            asked.settled = asked.then(Answer(asked.name, "answered", page.models, next_cursor=page.next_cursor))
        return asked.settled

    def _from_before(self, asked: _Asked, error: StudioError) -> Answer:
        """What this registry said to the same question before, with its age, in place of an answer."""
        state: State = "offline" if isinstance(error, Offline) else "failed"
        known = self._kept.find_page(asked.name, asked.query)
        if known is None:  # a further page can be asked for again
            return asked.then(Answer(asked.name, state, why_not=error.message, next_cursor=asked.query.cursor))
        page, as_of = known
        return asked.then(Answer(asked.name, state, page.models, as_of, error.message, page.next_cursor))


@dataclass
class _Asked:
    """A question on its way. ``before``: the pages that are there already; ``settled``: what came of it."""

    name: str
    query: Query
    before: Answer | None = None
    account: str = ""
    call: Pending[Page] | None = None
    settled: Answer | None = None

    def __post_init__(self) -> None:
        self.began_at = time.monotonic()

    def then(self, answer: Answer) -> Answer:
        """An answer behind those before it, without what moved from page to page in the meantime."""
        if self.before is None:
            return answer
        known = {model.id for model in self.before.models}
        models = (*self.before.models, *(model for model in answer.models if model.id not in known))
        return replace(answer, models=models, as_of=answer.as_of or self.before.as_of)


def fetch_details_or_known(
    catalog: Catalog,
    registry: str,
    model: str,
    *,
    kept: Kept,
    make_ready: Callable[[str], None] = lambda name: None,
    deadline_s: float = DETAILS_S,
) -> tuple[ModelDetails, str]:
    """All that a registry says of one model, and how old that is (empty: of now).

    Raises:
        StudioError: It cannot be had, and was never had here.
    """
    account = kept.account(registry)
    try:
        make_ready(registry)
        found = catalog.start(registry, ModelDetails, lambda one: one.get_model(model), deadline_s=deadline_s).result()
    except StudioError:
        known = kept.find_details(registry, model)
        if known is None:
            raise
        return known
    kept.keep_details(registry, model, found, account)
    return found, ""


def _search(query: Query, registry: Registry) -> Page:
    return registry.search(query)
