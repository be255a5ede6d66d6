"""The part of the studio that has to do with accounts elsewhere: connect, see how platforms stand, look for models on all of them."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peft_studio._studio.asking import ask_for
from peft_studio._studio.home import Home, ProgressLine, Say, once
from peft_studio.core.errors import ConnectorError, SpecError, StudioError, nearest

if TYPE_CHECKING:
    from peft_studio.connectors.catalog import Catalog
    from peft_studio.core.ports.download import Progress
    from peft_studio.core.ports.platform import ConnectorInfo
    from peft_studio.core.redact import Secret
    from peft_studio.core.services.connection_list import Connection, ConnectionList
    from peft_studio.core.services.connections import Connections
    from peft_studio.core.services.download import Downloaded
    from peft_studio.core.services.kept import Kept
    from peft_studio.core.services.model_list import ModelList
    from peft_studio.core.services.model_order import Order
    from peft_studio.core.services.model_sheet import ModelSheet
    from peft_studio.core.services.shelf import Shelf
    from peft_studio.core.vault import Vault


class Platforms(Home, ABC):
    """Platforms and what they offer."""

    def connect(self, platform: str, *, keep: bool = True, **keys: str | Secret) -> Connection:
        """Connect a platform: its keys are proved with a real call and then kept in the vault. Secrets not given are asked for.

        Args:
            platform: Its name in ``studio.connections()``.
            keep: False keeps its keys in this process alone.
            keys: Values by the platform's own names, such as ``token``.

        Raises:
            SpecError: A key is no text. NotAuthorised: The platform does not know the key, or it is another platform's by its looks and was not sent.
            ConnectorError: The call failed otherwise; its hint says what to do. VaultError: The key cannot be kept.
        """
        from peft_studio.core.redact import Secret

        wrong = [name for name, value in keys.items() if value is not None and not isinstance(value, str | Secret)]
        given = {
            name: value if isinstance(value, Secret) else Secret(value)
            for name, value in keys.items()
            if value and name not in wrong
        }
        keys.clear()  # a verbose traceback shows what a frame holds
        if wrong:
            raise SpecError(
                f"{platform}: {', '.join(wrong)} is to be given as text, or as a Secret.",
                hint=f"studio.connect({platform!r}) asks for it unseen.", fields=tuple(wrong),
            )  # fmt: skip
        info = self._catalog.get_info(platform)
        if not given:
            given = {field.name: key for field in info.keys if field.secret and (key := ask_for(info, field))}
        connection = self._connections.connect(platform, given, keep=keep)
        self._connected(platform)
        return connection

    def connections(self, *, check: bool = False) -> ConnectionList:
        """How each platform stands; with ``check`` those that are connected are asked again."""
        return self._connections.list_all(check=check)

    def disconnect(self, platform: str) -> None:
        """Forget a platform's keys, and what it said to that account."""
        self._connections.disconnect(platform)

    def disable(self, platform: str) -> None:
        """Hide a platform, in every process that opens this home, until it is enabled. Its keys stay where they are; what it said is dropped."""
        self._catalog.disable(platform)
        self._kept.forget(platform)

    def enable(self, platform: str) -> None:
        """Show a platform again."""
        self._catalog.enable(platform)

    def models(
        self,
        text: str = "",
        *,
        registries: Sequence[str] | None = None,
        fits: str | None = None,
        task: str | None = "text-generation",
        sort: Order = "downloads",
        limit: int = 20,
    ) -> ModelList:
        """Look for models on several registries at once. ``.more()`` of what comes has the next ones.

        Without a network each registry gives what it said to the same question before, with its age.

        Args:
            text: Words of the name.
            registries: Names of platforms; else all that are connected, or while none is, those that need no key.
            fits: ``"local"``, ``"sale"`` (the GPUs on sale that are known), or a card's name (``"RTX 4090"``): whether they can be trained there.
            task: None for models of every kind.
            sort: "downloads", "likes" or "updated", by which each registry chooses; "size" or "parameters" orders the most downloaded,
                smallest first.
            limit: At most so many, 100 at the most.
        """
        from peft_studio.core.ports.platform import Role
        from peft_studio.core.services.browse import search_models
        from peft_studio.core.services.model_order import build_query
        from peft_studio.core.services.model_sheet import find_fits, find_where, say_where

        where = find_where(fits, self._shelf) if fits else None  # a wrong name is said before anybody is asked
        query = build_query(text=text, task=task, order=sort, limit=limit)
        known = [info.name for info in self._catalog.list_infos(Role.REGISTRY)]
        for name in registries or ():
            if name not in known:
                raise StudioError(f"There is no registry {name!r}.", hint=nearest(name, known), fields=("registries",))
        names = list(registries) if registries is not None else self._connections.list_ready(Role.REGISTRY)
        make_ready = self._connections.make_ready
        found = search_models(self._catalog, names, query, kept=self._kept, order=sort, make_ready=make_ready)
        if where is None:
            return found
        judge = partial(find_fits, self._catalog, where=where, kept=self._kept)
        return found.with_fits(judge, say_where(where))

    def model_details(self, model: str, registry: str = "huggingface") -> ModelSheet:
        """All that a registry says of one model: its files, its card, its config; its ``fit`` here, and where it fits on ``sale``.

        Without a network, what it said before, with its age in ``as_of``. Offers are those seen last; newer ones are asked for behind, and a very
        first one is waited for, two seconds at most. ``gpus`` are the smallest cards of the device table.

        Raises:
            NotFound: It has none of that name, or does not show it to this account. Offline: There is no network, and it was never asked.
        """
        from peft_studio.core.services.model_sheet import fetch_sheet

        ready = self._connections.make_ready
        return fetch_sheet(self._catalog, registry, model, kept=self._kept, make_ready=ready, shelf=self._shelf)

    def download(
        self,
        model: str,
        registry: str = "huggingface",
        *,
        progress: Callable[[Progress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Downloaded:
        """Bring a model onto this machine; a hub's is then found by ``studio.spec(model=…)`` without a network.

        Interrupted in any way, it goes on where it stopped when it is asked for again. Nothing wrong or half stands where models are.

        Args:
            registry: Of Ollama the daemon brings and keeps it.
            progress: Called with how far it is; else a line is printed every few seconds.
            stop: An event that calls it off from another thread, as Ctrl-C does here.

        Raises:
            Offline: There is no network. NoRoom: The disk is too small; said before anything travels.
            Corrupt: What came is not what was promised. ModelFailure: The model is no safetensors, or runs code.
            ConnectorError: The platform could not; its hint says what to do.
        """
        from peft_studio.core.services.download import download_model

        self._require_network(f"Downloading {model}")
        self._connections.make_ready(registry)
        return download_model(
            self._catalog, registry, model, home=self.home, tell=progress or ProgressLine(model), stop=stop
        )

    def _bring_model(self, model: str, say: Say) -> None:
        from peft_studio.core.services.hub_needs import HUB, is_to_come

        if is_to_come(model, self.home) and self._asks_hub():
            say(f"Asking the hub for {model}")
            self.download(model, HUB, progress=ProgressLine(model, say))

    def _bring_dataset(self, repo: str, say: Say) -> Path | None:
        from peft_studio.core.services.hub_needs import HUB, download_dataset

        if not self._asks_hub():
            return None
        say(f"Asking the hub for the data set {repo}")
        self._connections.make_ready(HUB)
        return download_dataset(self._catalog, repo, home=self.home, tell=ProgressLine(repo, say))

    def _asks_hub(self) -> bool:
        """Whether the hub's connector is to bring what is missing: not where it or the hub is off, nor where only the environment has a token.

        That token is not ours to take (docs/keys.md): the hub's own client uses it, in the runner.
        """
        from peft_studio.core.services.hub_needs import HUB
        from peft_studio.core.vault.offered import HUB_TOKENS

        if not self._catalog.is_enabled(HUB) or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
            return False
        return self._connections.has_secret(HUB) or not any(os.environ.get(name) for name in HUB_TOKENS)

    @once
    def vault(self) -> Vault:
        """Where this home's keys are kept: ``vault.tier`` says where, ``vault.move`` and ``vault.unlock`` change that."""
        from peft_studio.core.vault import Vault

        return Vault(self.home / "vault", opened=lambda: self._unlocked())

    def _unlocked(self) -> None:
        """The vault was unlocked here: what had to do without its keys may have them now."""

    @once
    def _catalog(self) -> Catalog:
        from peft_studio.connectors.catalog import Catalog

        return Catalog(self.home, gate=self._may_ask, tell=self._learn)

    def _may_ask(self, info: ConnectorInfo) -> None:
        """Raises where this platform must not be asked now."""

    def _learn(self, info: ConnectorInfo, error: ConnectorError | None) -> None:
        """What a call to a platform came to."""

    @once
    def _connections(self) -> Connections:
        from peft_studio.core.services.connections import Connections

        return Connections(self.home, self.vault, self._catalog, forget=lambda name: self._kept.forget(name))

    @property
    @abstractmethod
    def _shelf(self) -> Shelf:
        """What is on sale, as far as it is known at once."""

    @property
    @abstractmethod
    def _kept(self) -> Kept:
        """What registries said before."""
