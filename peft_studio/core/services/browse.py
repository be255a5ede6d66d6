"""One search over several registries at once. None of them delays the others, and what is missing is said with its reason."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from peft_studio.core.errors import StudioError
from peft_studio.core.ports.catalog import Catalog, Pending
from peft_studio.core.ports.registry import Page, Query, Registry
from peft_studio.core.services.gather import gather
from peft_studio.core.services.kept import Kept
from peft_studio.core.services.model_list import ModelList, Part
from peft_studio.core.services.model_order import Order, merge_models

SEARCH_S = 8.0


def search_models(
    catalog: Catalog,
    registries: Sequence[str],
    query: Query,
    *,
    kept: Kept,
    order: Order = "downloads",
    make_ready: Callable[[str], None] = lambda name: None,
    deadline_s: float = SEARCH_S,
) -> ModelList:
    """Ask all of them at once and merge what comes; of one that gives nothing, what it said before, with its age.

    Once one has answered, each of the others is waited for twice as long as it took last time, and two seconds at least. One that
    misbehaved last time is asked, too, and not waited for; when it answers, the next search waits for it again.

    Args:
        registries: Names of connectors.
        order: Of the list; what registries sort by stands in ``query``.
        make_ready: Sees to a registry's keys before it is asked.
    """
    ask = functools.partial(_ask, catalog, kept=kept, make_ready=make_ready, deadline_s=deadline_s)
    found = ask(dict.fromkeys(registries, query))
    by_size = sorted(registries, key=lambda name: -found[name].count)  # who knows most of what was asked for begins
    parts = [replace(found[name], turn=by_size.index(name)) for name in registries]
    return _build(ModelList((), parts, query), ask, order=order, shown=query.limit)


def _build(
    found: ModelList, ask: Callable[[Mapping[str, Query]], dict[str, Part]], *, order: Order, shown: int
) -> ModelList:
    parts = found.parts
    rows = merge_models([part.models for part in sorted(parts, key=lambda part: part.turn)], order)

    def more() -> ModelList:
        """Of each registry that has too few for its share of the rows, the next page."""
        following = {
            part.registry: found.query.model_copy(update={"cursor": part.next_cursor})
            for part in parts
            if part.next_cursor and part.count < shown + found.query.limit
        }
        pages = ask(following)
        longer = [part.followed_by(pages[part.registry]) if part.registry in pages else part for part in parts]
        return _build(ModelList((), longer, found.query), ask, order=order, shown=shown + found.query.limit)

    return ModelList(rows[:shown], parts, found.query, more=more)


def _ask(
    catalog: Catalog,
    queries: Mapping[str, Query],
    *,
    kept: Kept,
    make_ready: Callable[[str], None],
    deadline_s: float,
) -> dict[str, Part]:
    """Each registry's answer to its own query."""
    calls: dict[str, Pending[Page]] = {}
    errors: dict[str, StudioError] = {}
    before = {name: catalog.health(name) for name in queries}
    accounts = {name: kept.account(name) for name in queries}
    for name, query in queries.items():
        try:
            make_ready(name)
            calls[name] = catalog.start(name, Page, functools.partial(_search, query), deadline_s=deadline_s)
        except StudioError as exc:
            errors[name] = exc
    pages = gather(calls, before, errors, deadline_s=deadline_s)
    for name, page in pages.items():
        kept.keep_page(name, queries[name], page, accounts[name])
    return {name: _part(name, query, pages.get(name), errors.get(name), kept) for name, query in queries.items()}


def _search(query: Query, registry: Registry) -> Page:
    return registry.search(query)


def _part(name: str, query: Query, page: Page | None, error: StudioError | None, kept: Kept) -> Part:
    if page is not None:
        return Part(name, page.models, next_cursor=page.next_cursor)
    why_not, known = error.message if error else "", kept.find_page(name, query)
    if known is None:
        return Part(name, next_cursor=query.cursor, why_not=why_not)  # a further page can be asked for again
    return Part(name, known[0].models, next_cursor=known[0].next_cursor, why_not=why_not, as_of=known[1])
