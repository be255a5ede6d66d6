"""One model as code meets it: what its registry says, how old that is, and on which machines it can be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from types import MappingProxyType
from typing import Any

from peft_studio.core.errors import StudioError
from peft_studio.core.markup import visible
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.registry import ModelDetails, RegistryModel
from peft_studio.core.services.gpu_fit import GpuFit, find_smallest, gpus_sentence
from peft_studio.core.services.kept import Kept
from peft_studio.core.services.model_fit import HERE, Machine, ModelFit, find_machine, find_reason, fit_model
from peft_studio.core.services.model_list import short_count, size
from peft_studio.core.services.registry_search import fetch_details_or_known
from peft_studio.core.services.sale_fit import ON_SALE, OnSale, SaleFit, fit_sale
from peft_studio.core.services.shelf import FIRST_S, Shelf

LOOKED_UP = 8  # of a list: each costs its registry some requests, and they are rationed
AT_ONCE = 3  # of a lane's places
LOOK_UP_S = 10.0
Fits = dict[tuple[str, str], ModelFit | SaleFit]


class ModelSheet(ModelDetails):
    """A model's details, and its fit. ``as_of``: how old they are; empty for what was asked now. ``on_sale``: what was known to be for rent."""

    as_of: str = ""
    on_sale: OnSale = OnSale()

    @cached_property
    def fit(self) -> ModelFit:
        """Whether it can be trained on this machine, with the memory that was free when this was first asked."""
        return fit_model(self.model, self.config, find_machine())

    @cached_property
    def sale(self) -> SaleFit:
        """The GPUs on sale on which it fits, from the cheapest up; of none that is known, why."""
        return fit_sale(self.model, self.config, self.on_sale)

    @cached_property
    def gpus(self) -> tuple[GpuFit, ...]:
        """By method, the smallest card of the device table that it fits on; empty where its shapes are not known."""
        return find_smallest(self.config) if self.config and not find_reason(self.model) else ()

    def __repr__(self) -> str:
        model = self.model
        facts = [
            f"{short_count(model.parameters)} parameters", size(model.size_bytes), f"licence {model.licence or '—'}",
            f"{len(self.files)} files", *(["gated"] if model.gated else []),
        ]  # fmt: skip
        head = f"{model.title or model.id} ({model.registry}){f', {self.as_of}' if self.as_of else ''}"
        lines = [head, " · ".join(facts), f"here: {self.fit.fit}. {self.fit.sentence}"]
        lines += [self._say_rent()] if not find_reason(model) else []
        return "\n".join(visible(" ".join(line.split())) for line in lines)

    __str__ = __repr__  # pydantic has one of its own, with every field

    def _say_rent(self) -> str:
        """Where it fits of what is on sale; while that is not known, the smallest cards that there are."""
        if self.sale.fit != "unknown":
            return f"on sale: {self.sale.sentence}"
        return f"for rent: {gpus_sentence(self.gpus) or '—'}; on sale: {self.sale.sentence}"


def fetch_sheet(
    catalog: Catalog,
    registry: str,
    model: str,
    *,
    kept: Kept,
    make_ready: Callable[[str], None],
    shelf: Shelf | None = None,
) -> ModelSheet:
    """All that a registry says of one model, or said before where it cannot be asked. ``shelf``: knows what is on sale.

    Raises:
        StudioError: It cannot be had, and was never had here.
    """
    if shelf:
        shelf.ask()  # its answers come while the registry is asked
    found, as_of = fetch_details_or_known(catalog, registry, model, kept=kept, make_ready=make_ready)
    return ModelSheet(**dict(found), as_of=as_of, on_sale=shelf.look(wait_s=FIRST_S) if shelf else OnSale())


def find_where(name: str, shelf: Shelf) -> Machine | OnSale:
    """A place where models may fit: ``sale``, else as :func:`find_machine`. What is on sale is what is known of it, see :class:`Shelf`."""
    if name != "sale":
        return find_machine(name)
    shelf.ask()
    return shelf.look(wait_s=FIRST_S)


def say_where(where: Machine | OnSale) -> str:
    """``here``, ``on sale``, or a card's name."""
    if isinstance(where, OnSale):
        return ON_SALE
    return HERE if where.here else where.name


def find_fits(
    catalog: Catalog,
    models: Sequence[RegistryModel],
    known: Mapping[tuple[str, str], ModelFit | SaleFit] = MappingProxyType({}),
    *,
    where: Machine | OnSale,
    kept: Kept,
) -> Fits:
    """Of every model, by registry and id: the first few that can be trained by their shapes, the others by their weights alone.

    Args:
        known: Verdicts of before, which stay.
        kept: Where details of before are, for what cannot be asked.
    """
    found: Fits = dict(known)
    new = [model for model in models if (model.registry, model.id) not in found]
    wanted = [model for model in new if not find_reason(model)][:LOOKED_UP]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        looked_up = list(pool.map(lambda model: _look_up(catalog, model, where, kept), wanted))
    found |= {(model.registry, model.id): _judge(model, None, where) for model in new}
    return found | {(model.registry, model.id): fit for model, fit in zip(wanted, looked_up, strict=True)}


def _look_up(catalog: Catalog, model: RegistryModel, where: Machine | OnSale, kept: Kept) -> ModelFit | SaleFit:
    try:
        details, _ = fetch_details_or_known(catalog, model.registry, model.id, kept=kept, deadline_s=LOOK_UP_S)
    except StudioError as exc:
        fit = _judge(model, None, where)
        return fit if isinstance(fit, SaleFit) else ModelFit(fit.fit, f"{exc.message} {fit.sentence}", fit.way)
    return _judge(model, details.config, where)


def _judge(model: RegistryModel, config: Mapping[str, Any] | None, where: Machine | OnSale) -> ModelFit | SaleFit:
    return fit_sale(model, config, where) if isinstance(where, OnSale) else fit_model(model, config, where)
