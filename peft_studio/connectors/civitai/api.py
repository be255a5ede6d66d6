"""Civitai's REST API v1: addresses, parameters, and its ways to say no.

Read from the site's own source, August 2026; it publishes no OpenAPI file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from peft_studio.connectors.base.answer import Answer, Platform, build_error
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.transfer import fetch_files
from peft_studio.connectors.civitai import INFO
from peft_studio.core.errors import ConnectorError, Forbidden
from peft_studio.core.ports.download import Fetched, Order
from peft_studio.core.redact import Secret

PLATFORM = Platform(INFO.name, INFO.title, INFO.docs_url)
PACE = (2.0, 10)
SORTS = {"downloads": "Most Downloaded", "updated": "Newest", "likes": "Most Liked"}


class CivitaiApi:
    """Calls of the site. ``token``: None asks as nobody in particular. ``CIVITAI_URL`` names another address of it."""

    def __init__(self, token: Secret | None) -> None:
        self.site = (os.environ.get("CIVITAI_URL") or "https://civitai.com").rstrip("/")
        credentials = None if token is None else lambda: {"Authorization": f"Bearer {token.reveal()}"}
        self._door = Door(PLATFORM, self.site, credentials=credentials, pace=PACE, read_error=read_error)

    def me(self) -> Mapping[str, Any]:
        """Whose key it is."""
        return self._door.get("/api/v1/me").record()

    def list_models(
        self, *, query: str, types: tuple[str, ...], sort: str, limit: int, cursor: str | None
    ) -> Mapping[str, Any]:
        """Models with their versions, in ``items``, and the next cursor in ``metadata``. Pages by number are refused with a query."""
        params = {"query": query or None, "types": list(types) or None, "sort": SORTS[sort], "limit": limit, "cursor": cursor, "nsfw": "false"}  # fmt: skip
        answer = self._door.get("/api/v1/models", params)
        answer.listed("items")
        return answer.record()

    def get_model(self, model: str) -> Mapping[str, Any]:
        """A model with its versions, newest first."""
        return self._door.get(f"/api/v1/models/{quote(model, safe='')}").record()

    def fetch_files(self, order: Order, numbers: Mapping[str, int]) -> Fetched:
        """Bring files of a version, each by its number: the addresses that the site itself names are at times dead.

        It says sizes in rounded kilobytes, so the answer's own size counts; the digest must be right all the same.
        """
        files = tuple(file.model_copy(update={"size_bytes": None}) for file in order.files)
        version = quote(order.revision or "", safe="")
        return fetch_files(
            self._door,
            replace(order, files=files),
            lambda file: f"/api/download/models/{version}?fileId={numbers[file.path]}",
        )


def read_error(answer: Answer) -> ConnectorError | None:
    """A page of HTML with 403 comes from the firewall before it, not from Civitai; a refused country looks the same."""
    if answer.status == 403 and answer.content.lstrip().startswith(b"<"):
        return Forbidden(
            "The firewall before Civitai lets no request of this machine through (403).",
            hint="Civitai is closed to some countries and networks; try another network.",
            platform=INFO.name,
            status=403,
        )
    error = build_error(answer)
    if answer.status == 401 and b"logged in" in answer.content.lower():
        error.message = "Its author gives this file only to those who have an account (401)."
        error.hint = f"Make a key at {INFO.docs_url} and connect with it."
    if answer.status == 403 and b"early access" in answer.content.lower():
        error.hint = "Its author sells early access; it becomes free at the deadline that its page names."
    return error
