"""Which keys the process that watches rented machines is given by this one, and when it may not take another's place."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from peft_studio.core.errors import RentError, StudioError, VaultError
from peft_studio.core.ports.platform import Role
from peft_studio.core.redact import REDACTOR, Secret
from peft_studio.core.services.hub_needs import HUB
from peft_studio.core.services.rent.held import find_held

if TYPE_CHECKING:
    from peft_studio.core.ports.platform import Keys
    from peft_studio.core.services.connections import Connections


class WatchKeys:
    """Of one home.

    Args:
        ready: Providers that this process can ask now.
        needed: Platforms whose keys the machines that are open need.
    """

    def __init__(
        self, folder: Path, connections: Connections, *, ready: Callable[[], Iterable[str]], needed: Callable[[], frozenset[str]]
    ) -> None:  # fmt: skip
        self._folder, self._connections = folder, connections
        self._ready, self._needed = ready, needed

    def read(self) -> dict[str, Keys]:
        """Those that can be read here, by platform."""
        keys = {}
        for name in [*self._ready(), *([HUB] if self._connections.has_secret(HUB) else [])]:
            with contextlib.suppress(StudioError):  # the vault is locked: a closed model was refused before
                keys[name] = self._connections.read_keys(name)
        return keys

    def find_lost(self, mine: Iterable[str]) -> list[str]:
        """Whose keys open machines would lose if one that has only ``mine`` took the place of whoever watches."""
        held = find_held(self._folder)
        if held is not None and not held:
            return []
        needed = self._needed()
        return sorted((needed if held is None else needed & held) - set(mine))

    def require(self, providers: Iterable[str]) -> None:
        """See before an order that whoever watches will have the keys of these.

        Raises:
            VaultError: They cannot be read here, and whoever watches has none; or with ours he would lose others that his machines need.
            StudioError: One is disabled, or not connected.
        """
        held, mine = find_held(self._folder) or frozenset(), self.read()
        for name in sorted(set(providers)):
            fault = self.find_fault(name)
            if fault and not (isinstance(fault, VaultError) and name in held):
                raise fault
            if name not in held and (why := self.say_lost(mine)):
                raise VaultError(f"{why} Nothing was rented at {name}.", hint=say_way(self.find_lost(mine)))

    def say_lost(self, mine: Iterable[str]) -> str:
        """Why whoever watches keeps his place, and is not given our keys; empty where nothing is lost by that."""
        lost = ", ".join(self.find_lost(mine))
        return lost and (
            f"The process that watches has keys of {lost} that cannot be read here, and its machines need them: it goes on, without ours."
        )

    def find_fault(self, name: str) -> StudioError | None:
        """Why a provider cannot be asked from here."""
        if name not in self._connections.list_ready(Role.COMPUTE):
            return RentError(f"{name} is not connected.", hint=f"studio.connect({name!r}) connects it.")
        try:
            self._connections.make_ready(name)
            self._connections.read_keys(name)  # the vault may have been locked again
        except StudioError as exc:
            return exc
        return None


def say_way(lost: Iterable[str]) -> str:
    """How the keys that are lacking here come here."""
    ways = " and ".join(f"studio.connect({name!r})" for name in lost)
    return f"`studio.vault.unlock(passphrase)` opens the vault, if they are in it; else {ways} here."


def write_watch_keys(keys: Mapping[str, Keys]) -> bytes:
    """Keys for another process's input; nothing where there are none."""
    given = {name: {field: key.reveal() for field, key in of.items()} for name, of in keys.items()}
    return json.dumps(given).encode() if given else b""


def read_watch_keys(text: str) -> dict[str, Keys]:
    """Keys as :func:`write_watch_keys` writes them."""
    found = json.loads(text) if text.strip() else {}
    keys: dict[str, Keys] = {name: {field: Secret(value) for field, value in of.items()} for name, of in found.items()}
    for of in keys.values():
        for key in of.values():
            REDACTOR.add(key)  # as the vault does with those that it gives
    return keys
