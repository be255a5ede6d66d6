"""One search over several registries at once. None of them delays the others, and what is missing is said with its reason."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from peft_studio.core.errors import StudioError
from peft_studio.core.ports.catalog import Catalog, Pending
from peft_studio.core.ports.registry import ModelDetails, Page, Query, Registry, RegistryModel
from peft_studio.core.services.gather import gather
from peft_studio.core.services.model_list import ModelList, Part

SEARCH_S = 8.0
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
    pages = gather(calls, before, errors, deadline_s=deadline_s)
    parts = [_part(name, pages.get(name), errors.get(name)) for name in registries]
    return ModelList(_merge([pages[name] for name in registries if name in pages], query), parts, query)


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
