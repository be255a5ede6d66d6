"""What is on sale as far as it is known at once: what providers said last. New answers are asked for behind, and nobody is waited for."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from peft_studio.core.errors import StudioError
from peft_studio.core.offline.cache import Cache
from peft_studio.core.ports.catalog import Catalog, Pending
from peft_studio.core.ports.offers import OfferQuery, Offers
from peft_studio.core.ports.platform import Role
from peft_studio.core.services.offers import OFFERS_S, find_kept_offers, keep_offers, list_offers, offers_key
from peft_studio.core.services.sale_fit import OnSale

FRESH_S = 180.0  # Vast.ai refreshes its offers about every three minutes
FIRST_S = 2.0  # that a first answer is worth, where nothing was ever seen
QUERY = OfferQuery()  # the question of studio.offers(), whose answers are shared
NOBODY = "no provider of machines is connected"


class Shelf:
    """What the providers of one home have on sale. Threads may share it.

    Args:
        list_ready: Names of the providers that can be asked now.
        make_ready: Sees to a provider's keys before it is asked.
    """

    def __init__(
        self, catalog: Catalog, cache: Cache, *, list_ready: Callable[[], Sequence[str]], make_ready: Callable[[str], None]
    ) -> None:  # fmt: skip
        self._catalog, self._cache, self._list_ready, self._make_ready = catalog, cache, list_ready, make_ready
        self._lock = threading.Lock()
        self._calls: dict[str, Pending[Offers]] = {}
        self._kept: set[str] = set()  # of whom the answer is known: a call is over an instant sooner
        self._asked_at: dict[str, float] = {}
        self._why_not: dict[str, str] = {}
        self._news = threading.Event()

    @property
    def is_asking(self) -> bool:
        """Whether an answer is still hoped for."""
        return any(self._hopes(name) for name in list(self._asked_at))  # others ask meanwhile

    def ask(self) -> None:
        """Ask the providers that are connected and have said nothing for a while. Returns at once."""
        with self._lock:
            for name in self._ready():
                asked_at = self._asked_at.get(name, float("-inf"))
                if time.monotonic() - asked_at > FRESH_S and self._age_s(name) > FRESH_S:
                    self._ask(name)

    def look(self, *, wait_s: float = 0.0) -> OnSale:
        """What is known. ``wait_s``: so long a first answer is waited for, where nothing was ever seen and somebody is asked."""
        known = self._known()
        until = time.monotonic() + wait_s
        while not known.offers and self.is_asking and (left_s := until - time.monotonic()) > 0:
            self._news.wait(left_s)
            self._news.clear()
            known = self._known()
        return known

    def _known(self) -> OnSale:
        """Of a provider that is not connected any more, too: its prices were public, and their age stands with them."""
        names = [info.name for info in self._catalog.list_infos(Role.COMPUTE)]
        found = [kept for name in names if (kept := find_kept_offers(self._cache, name, QUERY))]
        offers = tuple(offer for kept, _ in found for offer in kept)
        return OnSale(offers=offers, why_none="" if offers else self._say_none(), notes=tuple(self._notes(names)))

    def _notes(self, names: Iterable[str]) -> list[str]:
        return [f"{name}: {why}" for name in names if (why := self._trouble(name))]

    def _say_none(self) -> str:
        ready = self._ready()
        if not ready:
            return NOBODY
        if asked := [name for name in ready if self._hopes(name)]:
            return f"{' and '.join(asked)} {'is' if len(asked) == 1 else 'are'} being asked"
        troubles = self._notes(ready)
        return " ".join(troubles).rstrip(".") if troubles else "nothing is on sale where you are connected"

    def _ready(self) -> Sequence[str]:
        with contextlib.suppress(StudioError):  # the record of connections cannot be read
            return self._list_ready()
        return ()

    def _age_s(self, name: str) -> float:
        kept = self._cache.find(offers_key(name, QUERY))
        return float("inf") if kept is None or kept.age_s is None else kept.age_s

    def _hopes(self, name: str) -> bool:
        call = self._calls.get(name)
        return call is not None and name not in self._kept and time.monotonic() - call.began_at < OFFERS_S

    def _trouble(self, name: str) -> str:
        """Why a provider that was asked gave nothing new; empty where it did, or still may."""
        call = self._calls.get(name)
        if call is not None and not self._hopes(name):
            try:
                call.result(0.0)
            except StudioError as exc:
                return exc.message
        return self._why_not.get(name, "")

    def _ask(self, name: str) -> None:
        self._asked_at[name] = time.monotonic()
        self._why_not.pop(name, None)
        self._calls.pop(name, None)
        self._kept.discard(name)
        try:
            self._make_ready(name)
            call = self._catalog.start(name, Offers, functools.partial(list_offers, query=QUERY), deadline_s=OFFERS_S)
        except StudioError as exc:
            self._why_not[name] = exc.message
            return
        self._calls[name] = call
        call.when_done(functools.partial(self._keep, name, call))

    def _keep(self, name: str, call: Pending[Offers]) -> None:
        with contextlib.suppress(StudioError):
            keep_offers(self._cache, name, QUERY, call.result(0.0))
        self._kept.add(name)
        self._news.set()
