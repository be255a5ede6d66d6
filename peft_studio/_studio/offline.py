"""The part of the studio that has to do with the network: whether there is one, what waits for it."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from peft_studio._studio.home import OFFLINE_SWITCH, Home, once

if TYPE_CHECKING:
    from peft_studio.core.offline.cache import Cache
    from peft_studio.core.offline.connectivity import Connectivity
    from peft_studio.core.offline.dispatcher import Dispatcher
    from peft_studio.core.offline.entry import Entry, Receipt
    from peft_studio.core.offline.outbox import Outbox
    from peft_studio.core.offline.sender import Sender
    from peft_studio.core.services.sync import OutboxView, Synced

SWITCH = OFFLINE_SWITCH
BEGIN_S = 2.0  # a command that is over by then begins nothing


class Syncing(Home, ABC):
    """Work that waits for the network."""

    _beginning = False

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

        self._begin()  # once more: the vault may have been locked when the home was opened
        return OutboxView(self._outbox, self.offline)

    def sync(self, *, timeout_s: float | None = None) -> Synced:
        """Send now what waits, and say what came of it. What a platform told to wait for is left; offline by your word, everything is."""
        from peft_studio.core.services.sync import Synced

        lines = self._dispatcher.sync(timeout_s=timeout_s)
        return Synced(lines, self._outbox.counts(), self.offline)

    def _begin(self) -> None:
        """Have what waits in the outbox, of a kernel that is gone perhaps, sent in the background. Where nothing waits, nothing is loaded."""
        from peft_studio.core.offline.glance import has_waiting

        with self._wiring:
            if self._beginning or "_dispatcher" in vars(self) or not has_waiting(self.home / "outbox"):
                return
            self._beginning = True
        threading.Thread(target=self._begin_later, name="peft-studio outbox", daemon=True).start()

    def _begin_later(self) -> None:
        from peft_studio.core.errors import StudioError

        time.sleep(BEGIN_S)
        try:
            self._data_keys("outbox")  # a keystore may take its time, which nobody else is to wait for
            _ = self._dispatcher
        except StudioError:  # the vault is locked: whoever looks at the outbox is told, and begins it once it is open
            pass
        finally:
            self._beginning = False

    def _require_network(self, what: str) -> None:
        self._connectivity.require(what)

    def _queue(self, target: str, kind: str, payload: Any, *, id: str = "", holds: bool = False) -> Entry | Receipt:
        """Put an operation into the outbox, durably, and have it sent in the background."""
        dispatcher = self._dispatcher
        return dispatcher.outbox.put(target, kind, payload, id=id, holds=holds)

    @once
    def _connectivity(self) -> Connectivity:
        from peft_studio.core.offline.connectivity import Connectivity

        known = Connectivity(self._probes())
        said = os.environ.get(SWITCH, "")
        if said not in {"", "0"}:
            known.set(f"{SWITCH} is set")
        return known

    @once
    def _outbox(self) -> Outbox:
        from peft_studio.core.offline.outbox import Outbox

        key, *older = self._data_keys("outbox")
        return Outbox(self.home / "outbox", key=key, older_keys=older)

    @once
    def _cache(self) -> Cache:
        from peft_studio.core.offline.cache import Cache

        return Cache(self.home / "cache")

    @once
    def _dispatcher(self) -> Dispatcher:
        from peft_studio.core.offline.dispatcher import Dispatcher

        made = Dispatcher(self._outbox, self._find_sender, self._connectivity)
        made.start()
        return made
