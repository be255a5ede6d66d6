"""The hub's routes: who asks, search, repository info, tree listing, and files by HEAD and GET with etags, ranges and a CDN redirect."""

from __future__ import annotations

import contextlib
import re
import socket
from contextlib import AbstractContextManager

from tests.emulators.hub.listing import list_models, whoami
from tests.emulators.hub.publishing import publish
from tests.emulators.hub.state import Hub, Repo, blob_id, is_large, sha256
from tests.emulators.hub.stored import Stored
from tests.emulators.loopback import Reply, Request, Routes, serve

ROUTES: Routes[Hub] = Routes()
for method in ("POST", "PUT"):
    ROUTES.on(method, ".*")(publish)


def serve_hub(hub: Hub) -> AbstractContextManager[str]:
    """Serve ``hub`` on loopback and give its address, to be used as ``HF_ENDPOINT``."""
    return serve(hub, ROUTES)


@ROUTES.on("GET", "/api/agent-harnesses")
def harnesses(hub: Hub, request: Request) -> Reply:
    """huggingface_hub 2.4 asks this once a day, to fill its user agent."""
    return Reply(200, {"standardEnvVars": [], "harnesses": {}})


@ROUTES.on("GET", "/api/whoami-v2")
def who(hub: Hub, request: Request) -> Reply:
    return whoami(hub, request.token)


@ROUTES.on("GET", "/api/models")
def listing(hub: Hub, request: Request) -> Reply:
    return list_models(hub, request.token, request.query, f"http://{request.headers['Host']}")


@ROUTES.on("GET", "/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+)(?:/(.+))?)?")
def repository(hub: Hub, request: Request, *asked: str | None) -> Reply:
    kind, repo_id, what, revision, folder = asked
    repo = _readable(hub, request, f"{kind} {repo_id}")
    if not isinstance(repo, Repo):
        return repo
    if revision not in (None, repo.branch, repo.commit):
        return _refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    blobs = request.query.get("blobs") in (["true"], ["True"])
    if folder:
        inside = [entry for entry in repo.tree() if str(entry["path"]).startswith(f"{folder}/")]
        return Reply(200, inside) if inside else _refuse(404, "EntryNotFound", f"{folder} does not exist on {revision}")
    return Reply(200, repo.tree() if what == "tree" else repo.info(blobs=blobs))


@ROUTES.on("GET", "/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
def file(hub: Hub, request: Request, *asked: str | None) -> Reply:
    prefix, repo_id, revision, path = asked
    repo = _readable(hub, request, f"{'datasets' if prefix else 'models'} {repo_id}")
    if not isinstance(repo, Repo):
        return repo
    if revision not in (repo.branch, repo.commit):
        return _refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    if repo.gated and request.token not in repo.readers:
        # Without a token the hub answers 401, with one that was not let in 403; the code is the same.
        return _refuse(403 if request.token else 401, "GatedRepo", f"Access to model {repo_id} is restricted.")
    if path not in repo.files:
        return _refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": repo.commit})
    content = repo.files[path]
    if is_large(path):
        headers = {
            "X-Repo-Commit": repo.commit,
            "X-Linked-Etag": f'"{sha256(content)}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"http://localhost:{request.port}/cdn/{sha256(content)}",  # another host name: tokens must not follow
        }
        return Reply(302, headers=headers)
    return _content(hub, request, content, {"X-Repo-Commit": repo.commit, "ETag": f'"{blob_id(content)}"'})


@ROUTES.on("GET", "/cdn/([0-9a-f]{64})")
def cdn(hub: Hub, request: Request, digest: str) -> Reply:
    if request.token:
        hub.tokens_at_cdn.append(request.target)
    contents = (content for repo in hub.repos for content in repo.files.values())
    found = next((content for content in contents if sha256(content) == digest), None)
    if found is None:
        return Reply(404)
    return _content(hub, request, found, {"ETag": f'"{digest}"'})


def _readable(hub: Hub, request: Request, wanted: str) -> Repo | Reply:
    """The repository of ``kind id``, or what the hub says to this token."""
    repo = hub.find(*wanted.split(" ", 1))
    if repo is None or (repo.private and request.token not in repo.readers):
        # What is private looks exactly like what is not there; without a token both are 401.
        return _refuse(404 if request.token else 401, "RepoNotFound", "Repository not found")
    return repo


def _refuse(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    said = {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}
    return Reply(status, {"error": message}, said)


def _content(hub: Hub, request: Request, content: bytes | Stored, headers: dict[str, str]) -> Reply:
    """The bytes, or the span of them that was asked for; of large files ``hub.cuts`` sends less than was promised."""
    span = re.match(r"bytes=(\d+)-(\d*)$", request.headers.get("Range") or "")
    if span and request.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
        span = None
    first, last = int(span[1]) if span else 0, len(content) - 1
    if span and first > last:
        return Reply(416, headers={"Content-Range": f"bytes */{len(content)}"})
    last = min(int(span[2] or last), last) if span else last
    named = {"Content-Range": f"bytes {first}-{last}/{len(content)}"} if span else {"Accept-Ranges": "bytes"}
    promised = {**headers, **named, "Content-Length": str(last + 1 - first)}
    until = last
    if request.path.startswith("/cdn/") and request.method == "GET":
        hub.spans.append((first, last))
        if hub.cuts:
            until = min(last, first + hub.cuts.pop(0) - 1)
    if isinstance(content, bytes):
        return Reply(206 if span else 200, content[first : until + 1], promised)
    stored = content

    def send(line: socket.socket) -> None:
        with contextlib.suppress(OSError):  # whoever asked has gone
            stored.send(line, first, last)

    return Reply(206 if span else 200, send, promised)
