"""The hub's answers as values of the registry port."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from peft_studio.connectors.base.reading import count, record, records, text, when, words
from peft_studio.connectors.huggingface import INFO
from peft_studio.connectors.huggingface.api import DATASETS, HubApi, checked
from peft_studio.connectors.huggingface.upload import HubUpload
from peft_studio.core.errors import BadResponse, Forbidden, NotAuthorised, NotFound, RateLimited
from peft_studio.core.ports.download import Fetched, Order
from peft_studio.core.ports.platform import Account, Capability, Keys
from peft_studio.core.ports.registry import ModelDetails, ModelFile, Page, Published, Query, RegistryModel, Upload

WHOAMI_S = 600.0  # the hub rations whoami; a key that worked is believed for ten minutes
WIDTHS = {
    "F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # bytes of a number, by its name in safetensors  # fmt: skip
PACKED = frozenset({"U8", "I32"})  # several quantised weights in one number: their count is not the parameters'
WEIGHTS = (".safetensors", ".bin", ".gguf", ".pth", ".pt")
CARD_CHARACTERS = 1_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"[0-9a-f]{40}")


class HuggingFace:
    """The hub. Implements :class:`peft_studio.core.ports.registry.Registry` and ``Publisher``."""

    info = INFO
    unsupported: Mapping[Capability, str] = {}

    def __init__(self, keys: Keys) -> None:
        self._known = "token" in keys
        self._api = HubApi(keys.get("token"))
        self._lock = threading.Lock()
        self._account: tuple[float, Account] | None = None

    def connect(self) -> Account:
        """Whose token it is, and whether it may write. Asked again after ten minutes at the earliest."""
        with self._lock:
            if self._account and time.monotonic() - self._account[0] < WHOAMI_S:
                return self._account[1]
            try:
                account = self._ask_account()
            except RateLimited:
                if self._account is None:
                    raise
                return self._account[1]
            self._account = (time.monotonic(), account)
            return account

    def search(self, query: Query) -> Page:
        """Models whose name has the words of the query."""
        found, cursor = self._api.list_models(
            search=query.text, sort=query.sort, limit=query.limit, cursor=query.cursor, task=query.task
        )
        models = [self._model(one) for one in records(found) if text(one, "id")]
        return Page(models=tuple(models[: query.limit]), next_cursor=cursor)

    def get_model(self, model: str) -> ModelDetails:
        """A model with its files, its card and its config.json; those two are None where they are gated or missing.

        A data set is asked for as the hub's addresses have it, ``datasets/owner/name``, and answers to that name.
        """
        found = self._api.get_model(model)
        if not (name := text(found, "id")):
            raise BadResponse("Hugging Face sent a model without a name.", platform=INFO.name)
        if model.startswith(DATASETS):
            found = {**found, "id": DATASETS + name}
        files, revision = tuple(_files(found)), text(found, "sha") or "main"
        paths = {file.path for file in files}
        summary = self._model(found)
        if (size := _weight_bytes(files)) is not None:
            summary = summary.model_copy(update={"size_bytes": size})
        card = self._read(summary.id, revision, "README.md") if "README.md" in paths else None
        config = self._read(summary.id, revision, "config.json") if "config.json" in paths else None
        return ModelDetails(
            model=summary, revision=revision, files=files, card=card and card[:CARD_CHARACTERS], config=_parse(config)
        )

    def fetch_artifact(self, order: Order) -> Fetched:
        """Files of a model at one commit, by ranges and with their digests."""
        return self._api.fetch_files(order)

    def upload_artifact(self, upload: Upload, report: Callable[[int], None]) -> Published:
        """Publish files as one commit; see :class:`peft_studio.core.ports.registry.Publisher`."""
        if not self._known:
            raise NotAuthorised(
                "Publishing needs a token that may write.",
                hint=f"Make one at {INFO.docs_url}; then studio.connect('huggingface').",
                platform=INFO.name,
            )
        checked(upload.repo)
        return HubUpload(self._api.endpoint, self._api.credentials).publish(upload, report)

    def _ask_account(self) -> Account:
        if not self._known:
            self._api.list_models(search="", sort="downloads", limit=1, cursor=None, task=None)
            return Account(
                name="nobody", kind="anonymous", can_write=False, note="Without a token: public models only."
            )
        found = self._api.whoami()
        can_write, note = _rights(record(record(found, "auth"), "accessToken"))
        return Account(
            name=text(found, "name") or "unnamed", kind=text(found, "type") or "user", can_write=can_write, note=note
        )

    def _read(self, model: str, revision: str, path: str) -> str | None:
        try:
            return self._api.get_file(model, revision, path).content.decode("utf-8", "replace")
        except (Forbidden, NotFound):
            return None

    def _model(self, found: Mapping[str, Any]) -> RegistryModel:
        name = text(found, "id") or ""
        config, tensors, gguf = record(found, "config"), record(found, "safetensors"), record(found, "gguf")
        stored = record(tensors, "parameters")
        packed = bool(config.get("quantization_config")) and not PACKED.isdisjoint(stored)
        gated = found.get("gated")
        return RegistryModel(
            id=name,
            registry=INFO.name,
            author=text(found, "author") or name.rpartition("/")[0] or None,
            parameters=(None if packed else count(tensors, "total")) or count(gguf, "total") or None,
            size_bytes=_stored_bytes(stored),
            licence=_licence(found),
            downloads=count(found, "downloads"),
            downloads_over="30 days",
            likes=count(found, "likes"),
            gated=None if gated is None else gated is not False,
            private=private if isinstance(private := found.get("private"), bool) else None,
            quantisation=_quantisation(record(config, "quantization_config")),
            format="gguf" if gguf else "safetensors" if tensors else None,
            task=text(found, "pipeline_tag"),
            base_models=_bases(found),
            updated_at=when(found, "lastModified"),
            url=f"{self._api.endpoint}/{name}",
        )


def _rights(token: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether a token may write, and what is to be said of it."""
    role = text(token, "role")
    if role in ("read", "write"):
        return role == "write", f"A token that may {role}."
    if role != "fineGrained":
        return None, "The hub does not say what this token may do."
    fine = record(token, "fineGrained")
    rights = {right for scope in records(fine.get("scoped")) for right in words(scope, "permissions")} | set(
        words(fine, "global")
    )
    if not fine:
        return None, "A fine-grained token; the hub does not list its permissions."
    can = bool({"repo.write", "repo.content.write"} & rights)
    return can, "A fine-grained token" + (
        "; where it may write depends on the repository." if can else " without permission to write."
    )


def _licence(found: Mapping[str, Any]) -> str | None:
    """From the card, else from the tags. "other" says nothing; the card may name it."""
    card = record(found, "cardData")
    tags = [tag.removeprefix("license:") for tag in words(found, "tags") if tag.startswith("license:")]
    named = next(iter((*words(card, "license"), *tags)), "").lower()
    return (text(card, "license_name") or named).lower() if named == "other" else named or None


def _bases(found: Mapping[str, Any]) -> tuple[str, ...]:
    listed = [text(one, "id") for one in records(record(found, "baseModels").get("models"))]
    return tuple(name for name in listed if name) or words(record(found, "cardData"), "base_model")


def _stored_bytes(stored: Mapping[str, Any]) -> int | None:
    """Bytes of the safetensors, from how many numbers of each kind they have."""
    sizes = [(count(stored, kind), WIDTHS.get(kind)) for kind in stored]
    known = [number * width for number, width in sizes if number is not None and width is not None]
    return sum(known) if known and len(known) == len(sizes) else None


def _quantisation(config: Mapping[str, Any]) -> str | None:
    method = text(config, "quant_method")
    if method == "bitsandbytes":
        return "bnb-4bit" if config.get("load_in_4bit") else "bnb-8bit"
    bits = count(config, "bits")
    return f"{method}-{bits}bit" if method and bits else method


def _files(found: Mapping[str, Any]) -> Iterator[ModelFile]:
    for one in records(found.get("siblings")):
        if path := one.get("rfilename"):
            digest, blob = record(one, "lfs").get("sha256"), one.get("blobId")
            is_large = isinstance(digest, str) and _SHA256.fullmatch(digest) is not None
            yield ModelFile(
                path=str(path)[:1000],
                size_bytes=count(one, "size"),
                sha256=digest if is_large else None,
                # Of a large file git keeps a pointer, and the id would be the pointer's.
                blob_id=blob if not one.get("lfs") and isinstance(blob, str) and _BLOB.fullmatch(blob) else None,
            )


def _weight_bytes(files: tuple[ModelFile, ...]) -> int | None:
    """Of the weights that would be downloaded: a repository often has them in several formats, of which one is taken.

    None where several GGUF files are there, each a model of its own.
    """
    top = [file for file in files if "/" not in file.path]
    for kind in WEIGHTS:
        of_kind = [file for file in top if file.path.endswith(kind)]
        of_kind = [
            file for file in of_kind if file.path.startswith(("model", "pytorch_model", "adapter_model"))
        ] or of_kind
        if of_kind:
            unknown = any(file.size_bytes is None for file in of_kind) or (kind == ".gguf" and len(of_kind) > 1)
            return None if unknown else sum(file.size_bytes or 0 for file in of_kind)
    return None


def _parse(config: str | None) -> Mapping[str, Any] | None:
    try:
        found = json.loads(config) if config else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
