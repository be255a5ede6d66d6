"""Search by cursor, a model, who am I, and downloads sent on to a host that refuses an Authorization header."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

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
class Site:
    """Its models, its accounts, and what was asked, each with its Authorization header."""

    models: list[dict[str, Any]] = field(default_factory=list)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    firewall: bool = False
    overloads_left: int = 0
    contents: dict[int, bytes] = field(default_factory=dict)  # of files, by their numbers
    members_only: bool = False  # files are given to accounts alone
    asked: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serve_civitai(site: Site) -> Iterator[str]:
    """Serve on loopback and give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """The state keeps the record."""

    def do_HEAD(self) -> None:
        self._answer(401, b"")  # even with a good token

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        token = self.headers.get("Authorization", "")
        self.site.asked.append((self.path, token))
        if self.site.firewall or self.headers.get("User-Agent", "").startswith("Python-urllib"):
            self._answer(403, b"<!DOCTYPE html><title>Just a moment...</title>", kind="text/html")
        elif path == "/api/v1/me":
            me = self.site.accounts.get(token.removeprefix("Bearer "))
            self._json(200, me) if me else self._json(401, {"error": "Unauthorized"})
        elif path == "/api/v1/models":
            self._search(query)
        elif match := re.fullmatch(r"/api/v1/models/(.+)", path):
            found = [model for model in self.site.models if str(model["id"]) == match[1]]
            self._json(200, found[0]) if found else self._json(404, {"error": f"No model with id {match[1]}"})
        elif match := re.fullmatch(r"/api/download/models/(\d+)", path):
            self._send_on(match[1], query, token)
        elif match := re.fullmatch(r"/presigned/(\d+)", path):
            self._file(self.site.contents.get(int(match[1]), b"weights"), token)
        else:
            self.site.unknown.append(path)
            self._json(500, {"error": "unknown"})

    def _send_on(self, version: str, query: dict[str, list[str]], token: str) -> None:
        """To a signed address of the storage, on another host."""
        if self.site.members_only and token.removeprefix("Bearer ") not in self.site.accounts:
            self._json(
                401, {"error": "Unauthorized", "message": "The creator of this asset requires you to be logged in"}
            )
            return
        number = query.get("fileId", [version])[0]
        where = f"http://localhost:{self.server.server_address[1]}/presigned/{number}?X-Signature=1"
        self._answer(307, b"", headers={"Location": where})

    def _file(self, content: bytes, token: str) -> None:
        if token:
            self._answer(400, b"<Error>Only one auth mechanism allowed</Error>", kind="application/xml")
            return
        span = re.match(r"bytes=(\d+)-$", self.headers.get("Range") or "")
        first = int(span[1]) if span else 0
        headers = {"ETag": '"a-storage-etag"'}
        if span:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._answer(206 if span else 200, content[first:], kind="application/octet-stream", headers=headers)

    def _search(self, query: dict[str, list[str]]) -> None:
        given = {name: values[0] for name, values in query.items()}
        if self.site.overloads_left:
            self.site.overloads_left -= 1
            self._json(503, {"error": "Search is overloaded"}, {"Retry-After": "2"})
            return
        if (
            set(query) - TAKES
            or given.get("sort", "Newest") not in SORTS
            or ("page" in given and "query" in given)
            or int(given.get("limit", 100)) > 100
        ):
            self._json(400, {"error": {"issues": [], "name": "ZodError", "message": "Invalid input"}})
            return
        found = [
            model
            for model in self.site.models
            if given.get("query", "").lower() in model["name"].lower()
            and model["type"] in query.get("types", [model["type"]])
        ]
        found.sort(key=lambda model: -model["stats"]["downloadCount"])
        first, limit = int(given.get("cursor", "0").partition("|")[0]), int(given.get("limit", 100))
        metadata: dict[str, Any] = {"pageSize": limit}
        if first + limit < len(found):
            metadata |= {"nextCursor": f"{first + limit}|x", "nextPage": "http://somewhere.example/next"}
        self._json(200, {"items": found[first : first + limit], "metadata": metadata})

    def _json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self._answer(status, json.dumps(body).encode(), kind="application/json; charset=utf-8", headers=headers)

    def _answer(
        self, status: int, body: bytes, *, kind: str = "text/plain", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
