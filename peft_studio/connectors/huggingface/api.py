"""The hub's HTTP API, as far as looking for models and bringing them needs it: addresses, parameters, and what its errors mean.

Checked against huggingface_hub 2.4 and its documentation, November 2026.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from peft_studio.connectors.base.answer import Answer, Platform, build_error
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.transfer import fetch_files
from peft_studio.connectors.huggingface import INFO
from peft_studio.core.errors import ConnectorError, Forbidden, NotAuthorised, NotFound
from peft_studio.core.ports.download import Fetched, Order
from peft_studio.core.redact import Secret

PLATFORM = Platform(INFO.name, INFO.title, INFO.docs_url)
# Without a token the hub takes 500 requests in five minutes.
PACE = (1.5, 40)
FIELDS = (
    "author", "baseModels", "cardData", "config", "downloads", "gated", "gguf", "lastModified", "library_name", "likes",
    "pipeline_tag", "private", "safetensors", "tags",
)  # fmt: skip
SORTS = {"downloads": "downloads", "updated": "lastModified", "likes": "likes"}
_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)
DATASETS = "datasets/"  # what the hub's addresses of data sets begin with
_RESETS_IN = re.compile(r"\bt=(\d{1,6})\b")


class HubApi:
    """Calls of the hub. ``token``: None asks as nobody in particular."""

    def __init__(self, token: Secret | None) -> None:
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        self.credentials = None if token is None else lambda: {"Authorization": f"Bearer {token.reveal()}"}
        self._door = Door(PLATFORM, self.endpoint, credentials=self.credentials, pace=PACE, read_error=read_error)

    def whoami(self) -> Mapping[str, Any]:
        """Whose token it is, and what it may. The hub rations this call strictly."""
        return self._door.get("/api/whoami-v2").record()

    def list_models(
        self, *, search: str, sort: str, limit: int, cursor: str | None, task: str | None
    ) -> tuple[list[Any], str | None]:
        """Models with the fields of a list, and the cursor of the next page."""
        params = {
            "search": search or None, "sort": SORTS[sort], "limit": limit, "cursor": cursor, "pipeline_tag": task,
            "expand": list(FIELDS),
        }  # fmt: skip
        answer = self._door.get("/api/models", params)
        following = parse_qs(urlsplit(answer.next_url or "").query).get("cursor")
        return answer.listed(), following[0] if following else None

    def get_model(self, model: str) -> Mapping[str, Any]:
        """A model, or a data set, with its files, their sizes and digests."""
        place = _place(model)
        kind = "" if place.startswith(DATASETS) else "models/"
        return self._door.get(f"/api/{kind}{place}", {"blobs": "true"}).record()

    def get_file(self, model: str, revision: str, path: str) -> Answer:
        """A small file of a model."""
        return self._door.get(_resolve(model, revision, path))

    def fetch_files(self, order: Order) -> Fetched:
        """Bring files of a model. The hub sends large ones on to another host, where its token must not follow."""
        revision = order.revision or "main"
        return fetch_files(self._door, order, lambda file: _resolve(order.model, revision, file.path))


def _resolve(model: str, revision: str, path: str) -> str:
    return f"/{_place(model)}/resolve/{quote(revision, safe='')}/{quote(path)}"


def _place(name: str) -> str:
    """A model or a data set as it stands in an address."""
    return DATASETS + checked(name.removeprefix(DATASETS)) if name.startswith(DATASETS) else checked(name)


def checked(model: str) -> str:
    """A model's name, which is owner/name or an old one without owner, and no path to anywhere else."""
    if _ID.fullmatch(model) and ".." not in model:
        return model
    raise NotFound(
        "That is no name of a model on Hugging Face.",
        hint="Names are owner/name, of letters, digits, dots, hyphens and underscores.",
        platform=PLATFORM.name,
    )


def read_error(answer: Answer) -> ConnectorError | None:
    """The hub names its errors in a header, and answers 401 for a repository that is not there."""
    code, said = answer.headers.get("x-error-code", ""), answer.headers.get("x-error-message", "")
    facts: dict[str, Any] = {"platform": PLATFORM.name, "status": answer.status}
    if code == "GatedRepo":
        return Forbidden(
            "Hugging Face gives this model only to accounts that were let in.",
            hint="Open its page, accept its terms, and connect with a token of that account.",
            **facts,
        )
    if code in ("RepoNotFound", "RevisionNotFound", "EntryNotFound"):
        what = {"RepoNotFound": "model", "RevisionNotFound": "revision", "EntryNotFound": "file"}[code]
        return NotFound(
            f"Hugging Face has no such {what}, or does not show it to this account.",
            hint="Look at its spelling, owner/name; a private one needs a token that may read it.",
            **facts,
        )
    if answer.status == 401 and not code:
        return NotAuthorised(
            f"Hugging Face does not know this token{f' ({said[:200]})' if said else ''}.",
            hint=f"Make one at {INFO.docs_url} and connect again.",
            **facts,
        )
    error = build_error(answer)
    if answer.status == 429 and (resets := _RESETS_IN.search(answer.headers.get("ratelimit", ""))):
        error.retry_after_s = float(resets[1])
        error.hint = f"Try again in {resets[1]} s. With a token the hub takes more requests."
    return error
