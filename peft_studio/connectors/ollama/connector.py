"""The daemon's answers as values of the registry port."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from peft_studio.connectors.base.reading import count, record, records, text, when, words
from peft_studio.connectors.ollama import INFO
from peft_studio.connectors.ollama.api import OllamaApi
from peft_studio.connectors.ollama.upload import OllamaUpload
from peft_studio.core.errors import NotFound
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
    unsupported: Mapping[Capability, str] = {
        Capability.DOWNLOAD: "`ollama pull NAME` brings a model onto this machine; its files cannot be trained on.",
    }

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
