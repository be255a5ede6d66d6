"""What of what is on sale the models of one panel fit: each verdict made once, until an offer changes. It asks nobody by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peft_studio.core.ports.platform import Role
from peft_studio.core.ports.registry import RegistryModel
from peft_studio.core.services.model_fit import METHODS
from peft_studio.core.services.offers import say_gpu, say_memory, say_seen
from peft_studio.core.services.sale_fit import OnSale, SaleFit, fit_sale
from peft_studio.widgets._host import Host
from peft_studio.widgets._text import plain

_NAME, ROWS = 300, 6
Key = tuple[str, str]


class Sales:
    """Threads may share it."""

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._configs: dict[Key, Mapping[str, Any]] = {}
        self._now: tuple[OnSale, dict[Key, SaleFit]] = OnSale(), {}
        self._titles: dict[str, str] = {}

    @property
    def is_asking(self) -> bool:
        """Whether an answer is still hoped for."""
        return self._studio._shelf.is_asking

    def look(self, *, ask: bool) -> None:
        """See what is known now. With ``ask`` providers that have said nothing for a while are asked, and not waited for."""
        if ask:
            self._studio._shelf.ask()
        found = self._studio._shelf.look()
        self._titles = {info.name: info.title for info in self._studio._catalog.list_infos(Role.COMPUTE)}
        if found != self._now[0]:
            self._now = found, {}

    def learn(self, model: RegistryModel, config: Mapping[str, Any]) -> None:
        """From now on a model is judged by its shapes."""
        key = model.registry, model.id
        self._configs[key] = config
        self._now[1].pop(key, None)

    def fit(self, model: RegistryModel) -> SaleFit:
        """The verdict on a model."""
        (on_sale, known), key = self._now, (model.registry, model.id)
        if key not in known:
            known[key] = fit_sale(model, self._configs.get(key), on_sale)
        return known[key]

    def view(self, model: RegistryModel) -> dict[str, Any]:
        """The cheapest cards on which a model fits, as JSON; why there are none, where nothing is known."""
        found = self.fit(model)
        cheapest = {METHODS[method]: found.find_cheapest(method) for method in METHODS}
        return {
            "fit": found.fit, "words": found.words, "sentence": plain(found.sentence), "total": len(found),
            "notes": [plain(note, limit=_NAME) for note in found.notes],
            "methods": {title: f"{row.price} on {plain(say_gpu(row.offer), limit=_NAME)}" for title, row in cheapest.items() if row},
            "rows": [
                {
                    "gpu": plain(say_gpu(row.offer), limit=_NAME), "memory": say_memory(row.offer).replace(" ", "\u202f"),
                    "provider": plain(self._titles.get(row.offer.provider, row.offer.provider), limit=_NAME),
                    "region": plain(row.offer.region or "", limit=_NAME), "price": row.price, "way": row.found.way, "seen": say_seen(row.offer),
                }
                for row in found[:ROWS]
            ],
        }  # fmt: skip
