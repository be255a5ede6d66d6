"""The part of the studio that has to do with the network: whether there is one, what waits for it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from peft_studio._studio.home import OFFLINE_SWITCH, Home

if TYPE_CHECKING:
    from peft_studio.core.offline.cache import Cache
    from peft_studio.core.offline.connectivity import Connectivity
    from peft_studio.core.offline.dispatcher import Dispatcher
    from peft_studio.core.offline.entry import Entry, Receipt
    from peft_studio.core.offline.outbox import Outbox
    from peft_studio.core.offline.sender import Sender
    from peft_studio.core.services.sync import OutboxView, Synced

SWITCH = OFFLINE_SWITCH


class Syncing(Home, ABC):
    """Work that waits for the network."""

    @abstractmethod
    def _data_keys(self, purpose: str) -> Sequence[bytes]:
        """The key for local data of this purpose, and behind it those it has replaced."""

    @abstractmethod
    def _find_sender(self, target: str) -> Sender | None:
        """Who sends to a target; None while it is not connected."""

    @abstractmethod
    def _probes(self) -> Sequence[Callable[[], bool]]:
        """Each asks one host for next to nothing and says whether it answered."""

    @property
    def offline(self) -> bool | str:
        """Whether there is no network: False, or a reason, or True when you said so.

        Found out from what requests meet. Set it to True or to a reason and nothing leaves this process; to False to have everything
        tried whatever fails; to None to have it found out again.
        """
        return self._connectivity.offline

    @offline.setter
    def offline(self, value: bool | str | None) -> None:
        self._connectivity.set(value)

    @property
    def outbox(self) -> OutboxView:
        """What waits to be sent, what was refused, and ``retry``, ``edit`` and ``drop`` for it."""
        from peft_studio.core.services.sync import OutboxView

        return OutboxView(self._outbox, self.offline)

    def sync(self, *, timeout_s: float | None = None) -> Synced:
        """Send now what waits, and say what came of it. What a platform told to wait for is left; offline by your word, everything is."""
        from peft_studio.core.services.sync import Synced

        lines = self._dispatcher.sync(timeout_s=timeout_s)
        return Synced(lines, self._outbox.counts(), self.offline)

    def _require_network(self, what: str) -> None:
        self._connectivity.require(what)

    def _queue(self, target: str, kind: str, payload: Any, *, id: str = "", holds: bool = False) -> Entry | Receipt:
        """Put an operation into the outbox, durably, and have it sent in the background."""
        dispatcher = self._dispatcher
        return dispatcher.outbox.put(target, kind, payload, id=id, holds=holds)

    @cached_property
    def _connectivity(self) -> Connectivity:
        from peft_studio.core.offline.connectivity import Connectivity

        known = Connectivity(self._probes())
        said = os.environ.get(SWITCH, "")
        if said not in {"", "0"}:
            known.set(f"{SWITCH} is set")
        return known

    @cached_property
    def _outbox(self) -> Outbox:
        from peft_studio.core.offline.outbox import Outbox

        key, *older = self._data_keys("outbox")
        return Outbox(self.home / "outbox", key=key, older_keys=older)

    @cached_property
    def _cache(self) -> Cache:
        from peft_studio.core.offline.cache import Cache

        return Cache(self.home / "cache")

    @cached_property
    def _dispatcher(self) -> Dispatcher:
        from peft_studio.core.offline.dispatcher import Dispatcher

        made = Dispatcher(self._outbox, self._find_sender, self._connectivity)
        made.start()
        return made
