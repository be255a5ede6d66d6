"""The part of the studio that looks for machines to rent: what is on sale, and what a run would cost on each."""

from __future__ import annotations

import os
from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING

from peft_studio._studio.home import once, tell
from peft_studio._studio.offline import Syncing
from peft_studio._studio.plan import Planning
from peft_studio._studio.platforms import Platforms
from peft_studio.core.errors import StudioError, nearest

if TYPE_CHECKING:
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.ports.offers import OfferQuery
    from peft_studio.core.services.offers import OfferList
    from peft_studio.core.services.quote_list import QuoteList
    from peft_studio.core.services.shelf import Shelf

SEVERAL = (2, 4, 8)  # cards of one machine, as providers sell them


class Renting(Planning, Platforms, Syncing, ABC):
    """Machines of others."""

    def offers(
        self,
        gpu: str | None = None,
        *,
        min_memory_gib: float | None = None,
        spot: bool | None = None,
        region: str | None = None,
        provider: str | Sequence[str] | None = None,
    ) -> OfferList:
        """What is on sale now at every connected provider, the cheapest first. Without a network, what was seen last, and when.

        Args:
            gpu: Words of a card's name: ``"A100"``, ``"RTX 4090"``.
            min_memory_gib: Of one card.
            spot: True for machines that may be taken away, False for those that may not.
            region: Part of a region's name, as the provider writes it.
            provider: One or several by name; else all that are connected.
        """
        query = self._offer_query(gpu=gpu, min_memory_gib=min_memory_gib, spot=spot, region=region)
        return self._fetch_offers(query, provider)

    def quotes(
        self,
        spec: ExplainedSpec | str | os.PathLike[str],
        *,
        gpu: str | None = None,
        spot: bool | None = None,
        region: str | None = None,
        provider: str | Sequence[str] | None = None,
        gpu_count: int | Sequence[int] | None = None,
        measure: bool = True,
    ) -> QuoteList:
        """What a run would take in all on this machine and on every one that is on sale: dollars and hours, each with its range.

        Counted are the start of the machine, installing, downloading the base model, training, the disk and what traffic costs.

        Args:
            spec: A spec or its file. Of one from elsewhere, loaded or given by its file, the notes say what is equal to the machine it was made on, or better.
            gpu, spot, region, provider: As in :meth:`offers`.
            gpu_count: Machines with so many cards, as ``2`` or ``(1, 2, 4)``. Left open: with one; and where the run fits none of these, also with
                2, 4 and 8. Price and time are of the whole machine.
            measure: False leaves this machine's time unknown rather than measure it now: about twenty seconds the first time, longer beside
                other work.
        """
        from peft_studio.core.services.accuracy import read_corrections
        from peft_studio.core.services.device_speed import ensure_speed, find_speed
        from peft_studio.core.services.offers import merge_offers
        from peft_studio.core.services.quote import find_place
        from peft_studio.core.services.quote_list import build_quote_list
        from peft_studio.core.services.start_history import start_history

        if isinstance(spec, str | os.PathLike):
            spec, _ = self.load(spec)
        made_on = self._made_on.get((spec.model, spec.data.sha256))
        local = find_place("local", speed=ensure_speed(self.home, tell) if measure else find_speed(self.home))
        history, corrections = start_history(self.home), read_corrections(self.home)
        counts = (1,) if gpu_count is None else (gpu_count,) if isinstance(gpu_count, int) else tuple(gpu_count)

        def build(counts: Sequence[int]) -> QuoteList:
            queries = [self._offer_query(gpu=gpu, spot=spot, region=region, gpu_count=count) for count in counts]
            offers = merge_offers([self._fetch_offers(query, provider) for query in queries])
            return build_quote_list(
                spec, self.home, offers, local=local, history=history, corrections=corrections, made_on=made_on
            )

        found = build(counts)
        rented = [row for row in found.rows if row.quote and row.offer]
        if gpu_count is None and rented and not any(row.fits for row in rented):
            return build((*counts, *SEVERAL))
        return found

    @once
    def _shelf(self) -> Shelf:
        from peft_studio.core.ports.platform import Role
        from peft_studio.core.services.shelf import Shelf

        ready = self._connections
        return Shelf(
            self._catalog, self._cache, list_ready=lambda: ready.list_ready(Role.COMPUTE), make_ready=ready.make_ready
        )

    def _offer_query(self, **fields: object) -> OfferQuery:
        from pydantic import ValidationError

        from peft_studio.core.ports.offers import OfferQuery

        try:
            return OfferQuery.model_validate(fields)
        except ValidationError as exc:
            faults = "; ".join(f"{error['loc'][0]}: {error['msg']}" for error in exc.errors(include_input=False))
            raise StudioError(f"That cannot be looked for: {faults}.", hint="See help(studio.offers).") from exc

    def _fetch_offers(self, query: OfferQuery, provider: str | Sequence[str] | None) -> OfferList:
        from peft_studio.core.ports.platform import Role
        from peft_studio.core.services.offers import OfferList, fetch_offers

        known = [info.name for info in self._catalog.list_infos(Role.COMPUTE)]
        names = (
            [provider] if isinstance(provider, str) else list(provider or self._connections.list_ready(Role.COMPUTE))
        )
        for name in names:
            if name not in known:
                raise StudioError(f"There is no provider {name!r}.", hint=nearest(name, known), fields=("provider",))
        if not names:
            way = f"studio.connect({known[0]!r})" if known else "studio.connections()"
            return OfferList([], missing={}, old={}, notes=[f"No provider of machines is connected: {way}."])
        return fetch_offers(self._catalog, names, query, cache=self._cache, make_ready=self._connections.make_ready)
