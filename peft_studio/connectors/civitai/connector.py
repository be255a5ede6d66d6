"""Civitai's answers as values of the registry port."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from peft_studio.connectors.base.reading import count, record, records, text, when, words
from peft_studio.connectors.civitai import INFO
from peft_studio.connectors.civitai.api import CivitaiApi
from peft_studio.core.errors import BadResponse, NotFound
from peft_studio.core.ports.download import Fetched, Order
from peft_studio.core.ports.platform import Account, Capability, Keys
from peft_studio.core.ports.registry import ModelDetails, ModelFile, Page, Query, RegistryModel

TYPES: Mapping[str, tuple[str, ...]] = {
    "text-generation": ("LLM",),
    "text-to-image": ("Checkpoint", "LORA", "DoRA", "LoCon"),
}
TASKS = {kind: task for task, kinds in TYPES.items() for kind in kinds}
_ID = re.compile(r"\d{1,12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Civitai:
    """The site. Implements :class:`peft_studio.core.ports.registry.Registry`."""

    info = INFO
    unsupported: Mapping[Capability, str] = {
        Capability.PUBLISH: "Civitai has no API that uploads a model; its page does it in a browser.",
    }

    def __init__(self, keys: Keys) -> None:
        self._known = "token" in keys
        self._api = CivitaiApi(keys.get("token"))

    def connect(self) -> Account:
        """Whose key it is; without one, whether the site answers."""
        if not self._known:
            self._api.list_models(query="", types=(), sort="downloads", limit=1, cursor=None)
            return Account(name="nobody", kind="anonymous", can_write=False, note="Without a key: search only.")
        found = self._api.me()
        return Account(
            name=text(found, "username") or "unnamed", can_write=False, note="Civitai has no API that uploads a model."
        )

    def search(self, query: Query) -> Page:
        """Models that Civitai finds for the words of the query. What a task means there are its types of models."""
        types = TYPES.get(query.task, ()) if query.task else ()
        if query.task and not types:
            return Page(models=())
        found = self._api.list_models(
            query=query.text, types=types, sort=query.sort, limit=query.limit, cursor=query.cursor
        )
        models = [self._model(one) for one in records(found.get("items")) if _id(one)]
        following = record(found, "metadata").get("nextCursor")
        return Page(
            models=tuple(models[: query.limit]), next_cursor=str(following)[:4000] if following is not None else None
        )

    def get_model(self, model: str) -> ModelDetails:
        """A model with the files of its newest version. The card is HTML by its author."""
        found = self._api.get_model(model)
        if not _id(found):
            raise BadResponse("Civitai sent a model without a number.", platform=INFO.name)
        card, version = found.get("description"), _newest(found)
        return ModelDetails(
            model=self._model(found),
            revision=str(version["id"])[:300] if "id" in version else None,
            files=tuple(_files(version)),
            card=card[:1_000_000] if isinstance(card, str) else None,
        )

    def fetch_artifact(self, order: Order) -> Fetched:
        """Files of a model's version, with their digests. Some authors let only those who have an account."""
        return self._api.fetch_files(order, {_file_name(one): one["id"] for one in self._version_files(order)})

    def _version_files(self, order: Order) -> list[Mapping[str, Any]]:
        """The files of the version that was ordered, which have numbers here."""
        versions = records(self._api.get_model(order.model).get("modelVersions"))
        found = next((one for one in versions if str(one.get("id")) == order.revision), None)
        if found is None:
            raise NotFound(
                f"Civitai has no version {order.revision} of this model any more.",
                hint='Look at it again: studio.model_details(model, "civitai").',
                platform=INFO.name,
            )
        return [one for one in records(found.get("files")) if count(one, "id") is not None]

    def _model(self, found: Mapping[str, Any]) -> RegistryModel:
        version, stats = _newest(found), record(found, "stats")
        files = list(records(version.get("files")))
        primary = next((file for file in files if file.get("primary")), files[0] if files else {})
        availability = text(version, "availability")
        return RegistryModel(
            id=_id(found),
            registry=INFO.name,
            title=text(found, "name"),
            author=text(record(found, "creator"), "username"),
            size_bytes=_bytes(primary),
            licence=_licence(found),
            downloads=count(stats, "downloadCount"),
            downloads_over="all time",
            likes=count(stats, "thumbsUpCount"),
            gated=availability == "EarlyAccess" if availability else None,
            quantisation=text(record(primary, "metadata"), "fp"),
            format=(text(record(primary, "metadata"), "format") or "").lower() or None,
            task=TASKS.get(text(found, "type") or ""),
            base_models=words(version, "baseModel"),
            updated_at=when(version, "publishedAt"),
            url=f"{self._api.site}/models/{_id(found)}",
        )


def _id(found: Mapping[str, Any]) -> str:
    """Its number, or nothing."""
    number = str(found.get("id"))
    return number if _ID.fullmatch(number) else ""


def _newest(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(records(found.get("modelVersions")), {})


def _bytes(file: Mapping[str, Any]) -> int | None:
    """From ``sizeKB``, which has fractions: they count 1,024 bytes each."""
    kilobytes = file.get("sizeKB")
    if not isinstance(kilobytes, int | float) or isinstance(kilobytes, bool) or not 0 <= kilobytes < 1e12:
        return None
    return round(kilobytes * 1024)


def _licence(found: Mapping[str, Any]) -> str | None:
    """What its author allows. Civitai has flags for that and no name of a licence."""
    if "allowDerivatives" not in found and "allowCommercialUse" not in found:
        return None
    allowed = [use.lower() for use in words(found, "allowCommercialUse") if use.lower() != "none"]
    commercial = f"commercial use: {', '.join(allowed)}" if allowed else "no commercial use"
    parts = ["own terms", commercial, *([] if found.get("allowDerivatives", True) else ["no derivatives"])]
    return "; ".join(parts)[:300]


def _file_name(file: Mapping[str, Any]) -> str:
    return text(file, "name") or ""


def _files(version: Mapping[str, Any]) -> Iterator[ModelFile]:
    for one in records(version.get("files")):
        if name := _file_name(one):
            digest = str(record(one, "hashes").get("SHA256")).lower()
            yield ModelFile(path=name, size_bytes=_bytes(one), sha256=digest if _SHA256.fullmatch(digest) else None)
