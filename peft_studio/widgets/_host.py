"""What panels ask of the studio that shows them. The studio itself is above this package and is handed in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from peft_studio.core.chat import Chat
    from peft_studio.core.data import Dataset
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.offline.connectivity import Connectivity
    from peft_studio.core.ports.catalog import Catalog
    from peft_studio.core.ports.offers import Offer
    from peft_studio.core.services.check import Check
    from peft_studio.core.services.connection_list import ConnectionList
    from peft_studio.core.services.connections import Connections
    from peft_studio.core.services.kept import Kept
    from peft_studio.core.services.offers import OfferList
    from peft_studio.core.services.quote import Quote
    from peft_studio.core.services.quote_list import QuoteList
    from peft_studio.core.services.rentals import RentalList
    from peft_studio.core.services.run import Run
    from peft_studio.core.services.runs import RunList
    from peft_studio.core.services.shelf import Shelf
    from peft_studio.core.services.spend import Spend
    from peft_studio.core.services.sweep import Sweep
    from peft_studio.core.services.sync import OutboxView, Synced
    from peft_studio.core.session import Session
    from peft_studio.core.vault import Vault


class Host(Protocol):
    """The part of the studio's face that panels use; see ``Studio`` for what each does."""

    @property
    def home(self) -> Path: ...

    @property
    def session(self) -> Session: ...

    def data(self, source: Any, *, columns: Mapping[str, str] | None = None, format: str | None = None,
             split: float = 0.0, seed: int = 0) -> Dataset: ...  # fmt: skip

    def prepare(self, model: str, *, progress: Callable[[str], None]) -> Path: ...

    def spec(self, *, model: str, data: Any, **fields: Any) -> ExplainedSpec: ...

    def check(self, spec: ExplainedSpec) -> Check: ...

    def quote(self, spec: ExplainedSpec, compute: str = "local", *, measure: bool = True) -> Quote: ...

    def offers(self, *, provider: str | Sequence[str] | None = None) -> OfferList: ...

    def quotes(self, spec: ExplainedSpec, *, measure: bool = True) -> QuoteList: ...

    def launch(self, spec: ExplainedSpec, *, compute: str | Offer | Sequence[Offer] = "local",
               max_usd: Decimal | float | str | None = None, max_hours: float | None = None, **changes: Any) -> Run: ...  # fmt: skip

    def sweep(self, spec: Any, *, max_steps: int | None = None) -> Sweep: ...

    def run(self, run_id: str) -> Run: ...

    def runs(self, *, status: str | None = None, provider: str | None = None, since: Any = None, text: str = "",
             limit: int = 50) -> RunList: ...  # fmt: skip

    def chat(self, model: str, *, adapters: Mapping[str, Any] | None = None, **options: Any) -> Chat: ...

    def export(self, spec_or_run: Any, path: str | os.PathLike[str]) -> Path: ...

    def load(self, path: str | os.PathLike[str]) -> tuple[ExplainedSpec, Sequence[str]]: ...

    def push(self, adapter: Any, to: str, repo: str, **options: Any) -> Any: ...

    def publications(self) -> Sequence[Mapping[str, Any]]: ...

    spend_cap: Any

    def spend(self, *, refresh: bool = False) -> Spend: ...

    def rentals(self, *, refresh: bool = False) -> RentalList: ...

    # -- accounts and the network. With an underscore what code has no face for: how cards, ages and tiers stand.

    offline: Any

    @property
    def outbox(self) -> OutboxView: ...

    def sync(self, *, timeout_s: float | None = None) -> Synced: ...

    def connections(self, *, check: bool = False) -> ConnectionList: ...

    def disconnect(self, platform: str) -> None: ...

    def disable(self, platform: str) -> None: ...

    def enable(self, platform: str) -> None: ...

    @property
    def _catalog(self) -> Catalog: ...

    @property
    def _connections(self) -> Connections: ...

    @property
    def vault(self) -> Vault: ...

    @property
    def _connectivity(self) -> Connectivity: ...

    @property
    def _shelf(self) -> Shelf: ...

    @property
    def _kept(self) -> Kept: ...
