"""One search over several registries at once. None of them delays the others, and what is missing is said with its reason."""

from __future__ import annotations

import functools
import itertools
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from peft_studio.core.errors import StudioError
from peft_studio.core.ports.catalog import Catalog, Health, Pending
from peft_studio.core.ports.registry import ModelDetails, Page, Query, Registry, RegistryModel
from peft_studio.core.services.model_list import ModelList, Part

SEARCH_S = 8.0
LEAST_S = 2.0  # for whoever is not first
DETAILS_S = 30.0
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def search_models(
    catalog: Catalog,
    registries: Sequence[str],
    query: Query,
    *,
    make_ready: Callable[[str], None] = lambda name: None,
    deadline_s: float = SEARCH_S,
) -> ModelList:
    """Ask all of them at once and merge what comes.

    Once one has answered, each of the others is waited for twice as long as it took last time, and two seconds at least. One that
    misbehaved last time is asked, too, and not waited for; when it answers, the next search waits for it again.

    Args:
        registries: Names of connectors.
        make_ready: Sees to a registry's keys before it is asked.
    """
    calls: dict[str, Pending[Page]] = {}
    errors: dict[str, StudioError] = {}
    before = {name: catalog.health(name) for name in registries}
    for name in registries:
        try:
            make_ready(name)
            calls[name] = catalog.start(name, Page, lambda registry: _search(registry, query), deadline_s=deadline_s)
        except StudioError as exc:
            errors[name] = exc
    pages = _gather(calls, before, errors, deadline_s=deadline_s)
    parts = [_part(name, pages.get(name), errors.get(name)) for name in registries]
    return ModelList(_merge([pages[name] for name in registries if name in pages], query), parts, query)


def _gather(
    calls: Mapping[str, Pending[Page]],
    before: Mapping[str, Health],
    errors: dict[str, StudioError],
    *,
    deadline_s: float,
) -> dict[str, Page]:
    """The pages that arrive while there is reason to wait; for the others an error."""
    arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name, call in calls.items():
        call.when_done(functools.partial(arrived.put, name))
    pages: dict[str, Page] = {}
    waiting = set(calls)
    while waiting:
        patience = {name: deadline_s if not pages else _patience(before[name]) for name in waiting}
        until = max(calls[name].began_at + min(patience[name], deadline_s) for name in waiting)
        try:
            name = arrived.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        waiting.discard(name)
        _take(name, calls[name], pages, errors)
    for name in waiting:
        _take(name, calls[name], pages, errors)
    return pages


def _patience(before: Health) -> float:
    """Seconds that a registry is worth, once another has answered."""
    return max(LEAST_S, 2 * (before.took_s or 0.0)) if before.ok else 0.0


def _take(name: str, call: Pending[Page], pages: dict[str, Page], errors: dict[str, StudioError]) -> None:
    try:
        pages[name] = call.result(0.0)
    except StudioError as exc:
        errors[name] = exc


def fetch_details(catalog: Catalog, registry: str, model: str) -> ModelDetails:
    """All that a registry says of one model.

    Raises:
        ConnectorError: As the registry's ``get_model``.
    """
    return catalog.start(registry, ModelDetails, lambda one: one.get_model(model), deadline_s=DETAILS_S).result()


def _search(registry: Registry, query: Query) -> Page:
    return registry.search(query)


def _part(name: str, page: Page | None, error: StudioError | None) -> Part:
    if page is None:
        return Part(name, 0, why_not=error.message if error else "")
    return Part(name, len(page.models), next_cursor=page.next_cursor)


def _merge(pages: Sequence[Page], query: Query) -> list[RegistryModel]:
    """By time where that was asked for. Else the best of each, then the second of each: downloads of different registries count
    different things over different times, and cannot be compared."""
    if query.sort == "updated":
        found = [model for page in pages for model in page.models]
        return sorted(found, key=lambda model: model.updated_at or _LONG_AGO, reverse=True)[: query.limit]
    fullest = sorted(pages, key=lambda page: -len(page.models))  # who knows most of what was asked for begins
    turns = itertools.zip_longest(*(page.models for page in fullest))
    return [model for turn in turns for model in turn if model is not None][: query.limit]
