"""The hub's answers to what changes something: a repository made, files announced, LFS objects stored whole or in parts, a commit."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import yaml

from tests.emulators.hub.state import Hub, Repo, is_large, sha256
from tests.emulators.loopback import Reply, Request

_PREUPLOAD = re.compile(r"POST /api/models/([^/]+/[^/]+)/preupload/main")
_BATCH = re.compile(r"POST /([^/]+/[^/]+)\.git/info/lfs/objects/batch")
_COMMIT = re.compile(r"POST /api/models/([^/]+/[^/]+)/commit/main")
_STORE = re.compile(r"PUT /store/([0-9a-f]{64})(?:/(\d+))?")
_DONE = re.compile(r"POST /(verify|complete)/([0-9a-f]{64})")


def publish(hub: Hub, request: Request) -> Reply:
    """What a store is given needs no token, what is announced and committed that of somebody who may write."""
    asked, body, token, port = str(request), request.body, request.token, request.port
    if match := _STORE.fullmatch(
        asked
    ):  # a store of another company: it is given no token, and the address is the right to write
        if token:
            hub.tokens_at_cdn.append(asked)
        return _store(hub, match[1], match[2], body)
    if token not in hub.accounts:
        return Reply(401, {"error": "Invalid username or password."})
    if asked == "POST /api/validate-yaml":
        return _validate(json.loads(body)["content"])
    if match := _DONE.fullmatch(asked):
        return _complete(hub, match[2], body) if match[1] == "complete" else _verify(hub, match[2])
    if hub.accounts[token]["auth"]["accessToken"].get("role") != "write":
        return Reply(403, {"error": "You don't have the rights to create a model under this namespace"})
    if asked == "POST /api/repos/create":
        return _create(hub, json.loads(body), token, port)
    for pattern, answer in ((_PREUPLOAD, _announce), (_BATCH, _batch), (_COMMIT, _commit)):
        if match := pattern.fullmatch(asked):
            repo = hub.find("models", match[1])
            if repo is None or (repo.private and token not in repo.readers):
                return Reply(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return answer(hub, repo, body, port)
    raise LookupError("no route")


def _validate(card: str) -> Reply:
    """What the hub's client asks about a README before it is sent: here only whether its head is YAML with the fields' kinds."""
    _, _, rest = card.partition("---\n")
    try:
        head = yaml.safe_load(rest.partition("\n---")[0]) if card.startswith("---\n") else {}
    except yaml.YAMLError as exc:
        return Reply(400, {"errors": [{"message": str(exc)}], "warnings": []})
    lists = [name for name in ("tags", "datasets") if not isinstance(head.get(name, []), list)]
    return Reply(
        400 if lists else 200, {"errors": [{"message": f"{name} must be a list"} for name in lists], "warnings": []}
    )


def _create(hub: Hub, wanted: dict[str, Any], token: str, port: int) -> Reply:
    account = hub.accounts[token]
    owner = wanted.get("organization") or account["name"]
    if owner not in (account["name"], *(org["name"] for org in account["orgs"])):
        return Reply(403, {"error": f"You don't have the rights to create a model under the namespace {owner}"})
    name = f"{owner}/{wanted['name']}"
    if hub.find("models", name):
        return Reply(409, {"error": "You already created this model repo", "url": f"http://127.0.0.1:{port}/{name}"})
    private = wanted.get("visibility") == "private"
    hub.repos.append(
        Repo(name, {".gitattributes": b"*.safetensors filter=lfs"}, private=private, readers=frozenset({token}))
    )
    return Reply(200, {"url": f"http://127.0.0.1:{port}/{name}", "name": name, "id": "1"})


def _announce(hub: Hub, repo: Repo, body: bytes, port: int) -> Reply:
    files = json.loads(body)["files"]
    assert all(base64.b64decode(one["sample"], validate=True)[:512] or one["size"] == 0 for one in files)
    answers = [
        {"path": one["path"], "uploadMode": "lfs" if is_large(one["path"]) else "regular", "shouldIgnore": False}
        for one in files
    ]
    return Reply(200, {"files": answers})


def _batch(hub: Hub, repo: Repo, body: bytes, port: int) -> Reply:
    wanted, objects = json.loads(body), []
    assert (wanted["operation"], wanted["hash_algo"]) == ("upload", "sha256")
    store = f"http://localhost:{port}"  # another host name: tokens must not follow
    for one in wanted["objects"]:
        oid, size = one["oid"], one["size"]
        answer: dict[str, Any] = {"oid": oid, "size": size}
        if oid not in hub.stored:
            upload: dict[str, Any] = {"href": f"{store}/store/{oid}?signature={'s' * 400}"}
            if hub.part_bytes and size > hub.part_bytes:
                count = -(-size // hub.part_bytes)
                urls = {str(n): f"{store}/store/{oid}/{n}?signature={'s' * 400}" for n in range(1, count + 1)}
                upload = {
                    "href": f"http://127.0.0.1:{port}/complete/{oid}",
                    "header": {"chunk_size": str(hub.part_bytes), **urls},
                }
            answer["actions"] = {"upload": upload, "verify": {"href": f"http://127.0.0.1:{port}/verify/{oid}"}}
        objects.append(answer)
    headers = {"Content-Type": "application/vnd.git-lfs+json"}
    return Reply(200, {"transfer": "basic", "objects": objects}, headers)


def _store(hub: Hub, oid: str, part: str | None, body: bytes) -> Reply:
    if part is not None:
        hub.parts[oid, int(part)] = body
        return Reply(200, {}, {"ETag": f'"{sha256(body)[:32]}"'})
    if sha256(body) != oid:
        return Reply(400, {"error": "BadDigest"})
    hub.stored[oid] = body
    return Reply(200, {}, {"ETag": f'"{oid[:32]}"'})


def _complete(hub: Hub, oid: str, body: bytes) -> Reply:
    parts = json.loads(body)["parts"]
    pieces = [hub.parts[oid, one["partNumber"]] for one in parts]
    whole = b"".join(pieces)
    if [one["etag"].strip('"') for one in parts] != [sha256(piece)[:32] for piece in pieces] or sha256(whole) != oid:
        return Reply(400, {"error": "InvalidPart"})
    hub.stored[oid] = whole
    return Reply(200, {})


def _verify(hub: Hub, oid: str) -> Reply:
    return Reply(200, {}) if oid in hub.stored else Reply(404, {"error": "no such object"})


def _commit(hub: Hub, repo: Repo, body: bytes, port: int) -> Reply:
    lines = [json.loads(line) for line in body.splitlines()]
    header, changes = lines[0]["value"], lines[1:]
    if header.get("parentCommit") not in (None, repo.commit):
        return Reply(412, {"error": "A commit has happened since. Please refresh and try again."})
    files = dict(repo.files)
    for one in changes:
        value = one["value"]
        if one["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"], validate=True)
        elif one["key"] == "lfsFile" and value["oid"] in hub.stored:
            files[value["path"]] = hub.stored[value["oid"]]
        else:
            return Reply(400, {"error": f"cannot commit {one['key']}"})
    repo.files = files
    hub.commits.append(header)
    return Reply(
        200,
        {
            "success": True,
            "commitUrl": f"http://127.0.0.1:{port}/{repo.id}/commit/{repo.commit}",
            "commitOid": repo.commit,
        },
    )
