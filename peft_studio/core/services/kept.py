"""What registries said before, for a time without a network: pages of searches and details of models, each with its age.

What an account was shown is found by that account alone, and dropped when it is no longer connected here: it may be private.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from peft_studio.core.errors import StudioError
from peft_studio.core.offline.cache import Cache, Cached
from peft_studio.core.ports.registry import ModelDetails, Page, Query

LONG_KEPT_S = 3600.0

Value = TypeVar("Value", Page, ModelDetails)


class Kept:
    """The kept answers of one home.

    Args:
        account_of: By a registry's name, the account that asks there now; empty for nobody in particular.
    """

    def __init__(self, cache: Cache, account_of: Callable[[str], str] = lambda registry: "") -> None:
        self._cache = cache
        self._account_of = account_of

    def account(self, registry: str) -> str:
        """Who asks there now. It goes with the question, and comes back with what it brought."""
        try:
            return self._account_of(registry)
        except StudioError:  # the record cannot be read: whose answers they are is not known
            return "\0"

    def find_page(self, registry: str, query: Query) -> tuple[Page, str] | None:
        """What was said to the same question, however many models it was for, and its age in words."""
        return _aged(self._find(Page, _page_key(registry, self.account(registry), query)))

    def keep_page(self, registry: str, query: Query, page: Page, account: str) -> None:
        """Keep an answer to ``account``, unless another one is connected by now. A short one does not replace a long one of this hour."""
        key = _page_key(registry, account, query)
        known = self._find(Page, key) if page.next_cursor else None
        if known and len(known[0].models) > len(page.models) and (known[1].age_s or 0.0) < LONG_KEPT_S:
            return
        if account == self.account(registry):
            self._keep(key, page)

    def find_details(self, registry: str, model: str) -> tuple[ModelDetails, str] | None:
        """All that was said of a model, and its age in words."""
        return _aged(self._find(ModelDetails, _details_key(registry, self.account(registry), model)))

    def keep_details(self, registry: str, model: str, details: ModelDetails, account: str) -> None:
        """As :meth:`keep_page`."""
        if account == self.account(registry):
            self._keep(_details_key(registry, account, model), details)

    def forget(self, registry: str) -> None:
        """Drop everything that a registry said, to whomever."""
        self._cache.forget_under(_PREFIX.format(registry))

    def _find(self, kind: type[Value], key: str) -> tuple[Value, Cached] | None:
        """A value as it was kept; None where it is of an older version of this program."""
        known = self._cache.find(key)
        if known is None:
            return None
        try:
            return kind.model_validate(known.value), known
        except ValueError:
            return None

    def _keep(self, key: str, value: Page | ModelDetails) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk; a connector's config that is no JSON
            self._cache.save(key, value.model_dump(mode="json"))


_PREFIX = "registry {} "


def _aged(found: tuple[Value, Cached] | None) -> tuple[Value, str] | None:
    return found and (found[0], found[1].as_of)


def _page_key(registry: str, account: str, query: Query) -> str:
    return f"{_PREFIX.format(registry)}{account!r} page {query.model_dump_json(exclude={'limit'})}"


def _details_key(registry: str, account: str, model: str) -> str:
    return f"{_PREFIX.format(registry)}{account!r} model {model}"
