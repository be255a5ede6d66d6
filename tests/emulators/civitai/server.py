"""Search by cursor, a model, who am I, and downloads sent on to a host that refuses an Authorization header."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.loopback import Emulated, Reply, Request, Routes, serve

TAKES = {"query", "limit", "types", "baseModels", "sort", "period", "nsfw", "tag", "username", "cursor", "page"}
SORTS = {"Highest Rated", "Most Downloaded", "Most Liked", "Newest"}


def make_model(number: int, name: str, **changes: Any) -> dict[str, Any]:
    """A model as the site shows it; ``downloads`` goes to its statistics."""
    file = {
        "id": number * 10, "name": f"{name}.safetensors", "sizeKB": 1024.5, "type": "Model", "primary": True,
        "metadata": {"fp": "fp16", "size": "pruned", "format": "SafeTensor"}, "hashes": {"SHA256": f"{number:064X}"},
    }  # fmt: skip
    version = {
        "id": number * 100,
        "name": "v1",
        "baseModel": "SD 1.5",
        "publishedAt": "2026-02-03T04:05:06.000Z",
        "availability": "Public",
        "files": [file],
    }
    model = {
        "id": number, "name": name, "type": "LORA", "nsfw": False, "tags": [], "description": f"<p>{name}</p>", "creator": {"username": "ann"},
        "stats": {"downloadCount": changes.pop("downloads", number), "thumbsUpCount": 3}, "allowNoCredit": True,
        "allowCommercialUse": ["Image", "Rent"], "allowDerivatives": True, "allowDifferentLicense": True, "modelVersions": [version],
    }  # fmt: skip
    return {**model, **changes}


@dataclass
class Site(Emulated):
    """Its models and its accounts. ``asked`` has each request's target with its Authorization header."""

    models: list[dict[str, Any]] = field(default_factory=list)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    firewall: bool = False
    contents: dict[int, bytes] = field(default_factory=dict)  # of files, by their numbers
    members_only: bool = False  # files are given to accounts alone

    def note(self, request: Request) -> tuple[str, str]:
        return request.target, request.headers.get("Authorization", "")

    def before(self, request: Request) -> Reply | None:
        if request.method == "HEAD":
            return Reply(401)  # even with a good token
        if self.firewall or request.headers.get("User-Agent", "").startswith("Python-urllib"):
            return Reply(403, b"<!DOCTYPE html><title>Just a moment...</title>", {"Content-Type": "text/html"})
        return None


ROUTES: Routes[Site] = Routes()


def serve_civitai(site: Site) -> AbstractContextManager[str]:
    """Serve on loopback and give the address."""
    return serve(site, ROUTES)


@ROUTES.on("GET", "/api/v1/me")
def who(site: Site, request: Request) -> Reply:
    me = site.accounts.get(request.token)
    return Reply(200, me) if me else Reply(401, {"error": "Unauthorized"})


@ROUTES.on("GET", "/api/v1/models/(.+)")
def show(site: Site, request: Request, number: str) -> Reply:
    found = [model for model in site.models if str(model["id"]) == number]
    return Reply(200, found[0]) if found else Reply(404, {"error": f"No model with id {number}"})


@ROUTES.on("GET", r"/api/download/models/(\d+)")
def send_on(site: Site, request: Request, version: str) -> Reply:
    """To a signed address of the storage, on another host."""
    if site.members_only and request.token not in site.accounts:
        message = "The creator of this asset requires you to be logged in"
        return Reply(401, {"error": "Unauthorized", "message": message})
    number = request.query.get("fileId", [version])[0]
    return Reply(307, headers={"Location": f"http://localhost:{request.port}/presigned/{number}?X-Signature=1"})


@ROUTES.on("GET", r"/presigned/(\d+)")
def store(site: Site, request: Request, number: str) -> Reply:
    if request.token:
        return Reply(400, b"<Error>Only one auth mechanism allowed</Error>", {"Content-Type": "application/xml"})
    content = site.contents.get(int(number), b"weights")
    span = re.match(r"bytes=(\d+)-$", request.headers.get("Range") or "")
    first = int(span[1]) if span else 0
    headers = {"ETag": '"a-storage-etag"'}
    if span:
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
    return Reply(206 if span else 200, content[first:], headers)


@ROUTES.on("GET", "/api/v1/models")
def search(site: Site, request: Request) -> Reply:
    query = request.query
    given = {name: values[0] for name, values in query.items()}
    if (
        set(query) - TAKES
        or given.get("sort", "Newest") not in SORTS
        or ("page" in given and "query" in given)
        or int(given.get("limit", 100)) > 100
    ):
        return Reply(400, {"error": {"issues": [], "name": "ZodError", "message": "Invalid input"}})
    found = [
        model
        for model in site.models
        if given.get("query", "").lower() in model["name"].lower()
        and model["type"] in query.get("types", [model["type"]])
    ]
    found.sort(key=lambda model: -model["stats"]["downloadCount"])
    first, limit = int(given.get("cursor", "0").partition("|")[0]), int(given.get("limit", 100))
    metadata: dict[str, Any] = {"pageSize": limit}
    if first + limit < len(found):
        metadata |= {"nextCursor": f"{first + limit}|x", "nextPage": "http://somewhere.example/next"}
    return Reply(200, {"items": found[first : first + limit], "metadata": metadata})
