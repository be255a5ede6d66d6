"""The part of the studio that starts runs on rented machines."""

from __future__ import annotations

import shutil
from abc import ABC
from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from peft_studio._studio.home import tell
from peft_studio._studio.renting import Renting
from peft_studio._studio.runs import Running
from peft_studio.core.errors import ConnectorError, NotReadyError, RentError, SpecError, StudioError

if TYPE_CHECKING:
    from peft_studio._studio.machines import Machines
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.ports.compute import Compute
    from peft_studio.core.ports.offers import Offer
    from peft_studio.core.runs.folder import RunFolder
    from peft_studio.core.services.fit_offers import Fitted
    from peft_studio.core.services.rent.again import NewCaps
    from peft_studio.core.services.rent.caps import Caps
    from peft_studio.core.services.run import Run


class Launching(Running, Renting, ABC):
    """Runs on machines that cost money."""

    def launch(
        self,
        spec: ExplainedSpec,
        *,
        compute: str | Offer | Sequence[Offer] = "local",
        max_usd: Decimal | float | str | None = None,
        max_hours: float | None = None,
        keep_minutes: float = 15,
        idle_minutes: float | None = 60,
        **changes: Any,
    ) -> Run:
        """Start a run and return at once. It goes on whatever happens to this process.

        Args:
            spec: What to train.
            compute: ``"local"``; ``"ray"``, for the place on your cluster that fits best; or an offer of ``studio.offers()``, or several, the
                best first: where one is not to be had, the next is taken.
            max_usd: On a rented machine: what the run may cost. Before that point it is stopped and saved, and its machine is ended.
            max_hours: On a rented machine: how long one may live at most, 24 by default, 720 where it costs nothing. The machine itself keeps
                to it, too.
            keep_minutes: On a rented machine: how long it waits, paid for, when this computer is away at the run's end; then what was not
                fetched is lost. Within both caps.
            idle_minutes: On a rented machine: after so long with its GPU below 10 % you are warned, ten minutes later at most the run is
                stopped and saved. None: it may idle.
            changes: Fields of the spec to be changed first.

        Raises:
            NotReadyError: Preflight found blocking problems.
        """
        if compute == "local":
            if (max_usd, max_hours, keep_minutes, idle_minutes) != (None, None, 15, 60):
                raise SpecError(
                    "A run on this machine costs no rent.",
                    hint="max_usd, max_hours, keep_minutes and idle_minutes go with an offer.",
                    fields=("compute",),
                )
            return super().launch(spec, **changes)
        spec = spec.replace(**changes) if changes else spec
        if isinstance(compute, str):
            offers = self._find_free_places(spec, compute)
            if not offers:
                return super().launch(spec, compute=compute)  # says which names there are
        else:
            offers = _list_offers(compute)
        from peft_studio.core.services.rent.caps import read_caps

        caps = read_caps(
            offers, max_usd=max_usd, max_hours=max_hours, keep_minutes=keep_minutes, idle_minutes=idle_minutes
        )
        return self._rent(spec, offers, caps)

    def _find_free_places(self, spec: ExplainedSpec, provider: str) -> list[Offer]:
        """Places at a provider that costs nothing, the best for this spec alone; none where the name is no such provider's."""
        from peft_studio.core.ports.platform import Role
        from peft_studio.core.services.quotes import find_best_place

        if provider not in [info.name for info in self._catalog.list_infos(Role.COMPUTE)]:
            return []
        offers: list[Offer] = []
        processes = spec.processes or 1
        for machines in divisors(processes):
            found = self._fetch_offers(self._offer_query(gpu_count=processes // machines, machines=machines), provider)
            if why := found.missing.get(provider):
                raise ConnectorError(
                    f"{provider} does not say what it has: {why}", hint="Connect it again.", platform=provider
                )
            offers = [one for one in found if one.machines * max(1, one.gpu_count) == processes]
            if offers:
                break
        if any(offer.usd_per_hour for offer in offers):
            raise SpecError(
                f"A machine of {provider} costs money, so one is to be named.", hint="studio.quotes(spec) lists them.", fields=("compute",)
            )  # fmt: skip
        best = find_best_place(spec, self.home, offers)
        return [best] if best else []

    def _rent(self, spec: ExplainedSpec, offers: Sequence[Offer], caps: Caps) -> Run:
        from peft_studio.core.models.prepared import settle_name
        from peft_studio.core.runs.prediction import save_prediction
        from peft_studio.core.services.fit_offers import fit_offers, say_differences
        from peft_studio.core.services.next_best import check_devices
        from peft_studio.core.services.rent.hub_pass import mark_closed
        from peft_studio.core.services.rent.offer_specs import save_offer_specs

        self._require_network("Renting a machine")
        self._machines.keys.require(offer.provider for offer in offers)
        fitted = fit_offers(spec, self.home, offers)
        self._check_each(fitted)
        closed = self._machines.check_model(spec.model, machines=max(offer.machines for offer in offers))
        for one in fitted:
            check_devices(one.spec, [one.offer])
        settled = {"model": settle_name(spec.model)}
        folder = self._store().create(fitted[0].spec.model_copy(update=settled))
        try:
            save_offer_specs(folder, [(one.offer, one.spec.model_copy(update=settled)) for one in fitted])
            if closed:
                mark_closed(folder)
            if quote := fitted[0].quote:
                save_prediction(folder, quote.prediction)
            self._machines.desk.order(
                folder.id, offers, lifetime_s=caps.lifetime_s, budget_usd=caps.budget_usd, keep_s=caps.keep_s, idle_s=caps.idle_s
            )  # fmt: skip
        except (StudioError, OSError):  # refused: nothing was ordered, so there is no run
            shutil.rmtree(folder.path, ignore_errors=True)
            self._store().forget(folder.id)
            raise
        for said in say_differences(fitted):
            tell(said)
        self._machines.ensure_watched()
        run = self._run(folder.id)
        self.session.choose(run_id=run.id)
        return run

    def _check_each(self, fitted: Sequence[Fitted]) -> None:
        """Preflight for each machine, of what is not of this one alone."""
        seen: list[ExplainedSpec] = []
        for one in fitted:
            if one.spec in seen:
                continue
            seen.append(one.spec)
            problems = self.check(one.spec).problems
            blocking = [found for found in problems if found.severity == "blocking" and found.code not in HERE_ALONE]
            if blocking:
                where = (
                    f"Not ready for {one.offer.gpu or 'a CPU'} of {one.offer.provider}:\n"
                    if len(seen) > 1
                    else "Not ready:\n"
                )
                fields = tuple(found.field for found in blocking if found.field)
                raise NotReadyError(where + "\n".join(map(str, blocking)), fields=fields)

    def _find_compute(self, folder: RunFolder) -> Compute:
        if not (self.home / "rent").is_dir():
            return super()._find_compute(folder)
        try:
            records = self._machines.desk.store.list_run(folder.id)
            provider = records[-1].intent.provider if records else None
        except RentError:  # said by whatever is asked of a rented run; the others need no such file
            provider = _find_provider(folder)
        if provider is None:
            return super()._find_compute(folder)
        from peft_studio.core.services.rent.hub_pass import mark_closed

        def again(folder: RunFolder, new: NewCaps) -> None:
            last = self._machines.desk.store.list_run(folder.id)[-1].intent
            self._machines.keys.require({offer.provider for offer in last.offers} or {last.provider})
            if self._machines.check_model(folder.load_spec().model):
                mark_closed(folder)
            self._machines.desk.order_again(folder.id, new)
            self._machines.ensure_watched()

        return self._machines.compute(provider, again)

    @cached_property
    def _machines(self) -> Machines:
        from peft_studio._studio.machines import Machines

        return Machines(self.home, self._catalog, self._connections)


def _list_offers(compute: object) -> list[Offer]:
    """The offers that a launch names.

    Raises:
        SpecError: It is none, as the ``offer`` of this machine's row of quotes is.
    """
    from peft_studio.core.ports.offers import Offer

    named = list(compute) if isinstance(compute, list | tuple) else [compute]
    offers = [offer for offer in named if isinstance(offer, Offer)]
    if len(offers) == len(named):
        return offers
    raise SpecError(
        "That is no offer to rent."
        if any(named)
        else "There is no offer there: it is this machine's row of the quotes, or nothing is to be had.",
        hint='compute="local" trains here; the .offer of a row of studio.quotes(spec), or a row of studio.offers(), is rented.',
        fields=("compute",),
    )


def _find_provider(folder: RunFolder) -> str | None:
    """Where a run was rented, by its own log; None for one of this machine, empty where it waits for its first machine."""
    from peft_studio.core.runs.events import JobStarted, MachineRented
    from peft_studio.core.runs.log import read_events

    events = read_events(folder.events)
    rented = [event.provider for event in events if isinstance(event, MachineRented)]
    if rented:
        return rented[-1]
    begun = any(isinstance(event, JobStarted) for event in events)
    return None if begun or (folder.path / "agent.log").exists() else ""


def divisors(number: int) -> list[int]:
    """Among how many machines so many processes can be dealt out evenly, the fewest first."""
    return [count for count in range(1, number + 1) if number % count == 0]


HERE_ALONE = frozenset({"train_extra_missing", "memory_short", "disk_short", "devices_short"})
"""Problems of this machine, which the rented one does not have."""
