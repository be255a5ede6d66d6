"""The daemon's answers as values of the registry port."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from peft_studio.connectors.base.meter import Meter
from peft_studio.connectors.base.reading import count, record, records, text, when, words
from peft_studio.connectors.ollama import INFO
from peft_studio.connectors.ollama.api import OllamaApi
from peft_studio.connectors.ollama.upload import OllamaUpload
from peft_studio.core.errors import Cancelled, NotFound
from peft_studio.core.ports.download import Fetched, Order
from peft_studio.core.ports.platform import Account, Capability, Keys
from peft_studio.core.ports.registry import ModelDetails, Page, Published, Query, RegistryModel, Upload

_SIZE = re.compile(r"([\d.]+)\s*([KMBT])", re.IGNORECASE)
_TIMES = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_LICENCES = {
    "apache license": "apache-2.0", "mit license": "mit", "llama 3.3 community": "llama3.3", "llama 3.2 community": "llama3.2",
    "llama 3.1 community": "llama3.1", "gemma terms of use": "gemma", "qwen research license": "qwen-research",
}  # fmt: skip
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Ollama:
    """The daemon. Implements :class:`peft_studio.core.ports.registry.Registry`."""

    info = INFO
    unsupported: Mapping[Capability, str] = {}

    def __init__(self, keys: Keys) -> None:
        self._api = OllamaApi(keys["host"].reveal() if "host" in keys else None)

    def connect(self) -> Account:
        """Whether the daemon is there, and which one it is."""
        version = self._api.get_version()
        return Account(name=self._api.address, kind="daemon", can_write=True, note=f"Ollama {version}"[:300])

    def search(self, query: Query) -> Page:
        """Models that the daemon has, by name: ollama.com itself cannot be searched, as it has no API for that."""
        wanted = query.text.lower().split()
        found = [
            _model(one)
            for one in records(self._api.list_models())
            if text(one, "name") and not text(one, "remote_host")
        ]
        named = [model for model in found if all(word in model.id.lower() for word in wanted)]
        named.sort(key=lambda model: model.updated_at or _LONG_AGO, reverse=True)
        return Page(models=tuple(named[: query.limit]))

    def get_model(self, model: str) -> ModelDetails:
        """A model with its exact number of parameters and its licence."""
        shown = self._api.show(model)
        listed = next(
            (one for one in records(self._api.list_models()) if model in (one.get("name"), one.get("model"))), None
        )
        if listed is None:
            raise NotFound(
                f"Ollama has no {model!r} any more.", hint="`ollama list` names what it has.", platform=INFO.name
            )
        known = record(shown, "model_info")
        summary = _model({**listed, "details": {**record(listed, "details"), **record(shown, "details")}}).model_copy(
            update={
                "parameters": count(known, "general.parameter_count") or _parameters(record(listed, "details")),
                "licence": _licence(shown),
                "task": "text-generation" if "completion" in words(shown, "capabilities") else None,
            }
        )
        return ModelDetails(model=summary, revision=text(listed, "digest"))

    def fetch_artifact(self, order: Order) -> Fetched:
        """Have the daemon pull a model. It keeps it itself, goes on where an earlier pull stopped, and checks its digests."""
        layers: dict[str, tuple[int, int]] = {}
        meter: Meter | None = None
        with closing(self._api.pull(order.model)) as events:
            for event in events:
                if order.stop.is_set():
                    raise Cancelled(
                        "The pull was called off.",
                        hint="Ollama keeps what has arrived: the next one goes on from there.",
                        platform=INFO.name,
                    )
                digest, total = text(event, "digest"), count(event, "total")
                if digest is None or total is None:
                    continue
                done = min(count(event, "completed") or 0, total)
                before = layers.get(digest, (0, 0))[0]
                layers[digest] = (done, total)
                if meter is None:
                    meter = Meter(order, None)
                    meter.begin(order.model, here_bytes=done)
                else:
                    meter.total_bytes = sum(size for _, size in layers.values())
                    meter.add(max(0, done - before))
        if meter:
            meter.end()
        size = sum(total for _, total in layers.values())
        return Fetched(
            size_bytes=size or None,
            kept_by=INFO.title,
            note="Ollama keeps it; it can be run there, and not be trained on.",
        )

    def upload_artifact(self, upload: Upload, report: Callable[[int], None]) -> Published:
        """Make a model of a base and an adapter in the daemon; see :class:`peft_studio.core.ports.registry.Publisher`."""
        return OllamaUpload(self._api).publish(upload, report)


def _model(found: Mapping[str, Any]) -> RegistryModel:
    details = record(found, "details")
    name = text(found, "name") or ""
    return RegistryModel(
        id=name,
        registry=INFO.name,
        author=name.rpartition("/")[0] or None,
        parameters=_parameters(details),
        size_bytes=count(found, "size"),
        gated=False,
        quantisation=text(details, "quantization_level"),
        format=text(details, "format"),
        base_models=words(details, "parent_model"),
        updated_at=when(found, "modified_at"),
    )


def _parameters(details: Mapping[str, Any]) -> int | None:
    """From a label such as "8.0B", rounded as it is."""
    found = _SIZE.fullmatch(text(details, "parameter_size") or "")
    try:
        return round(float(found[1]) * _TIMES[found[2].upper()]) or None if found else None
    except (ValueError, OverflowError):
        return None


def _licence(shown: Mapping[str, Any]) -> str | None:
    """A short name for the licence's text, where its head is a known one; else its first line."""
    given = shown.get("license")
    head = given[:400].lower() if isinstance(given, str) else ""
    known = next((short for words_, short in _LICENCES.items() if words_ in head), None)
    return known or next((line.strip()[:80] for line in head.splitlines() if line.strip()), None)
