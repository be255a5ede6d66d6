"""The hub's answers about accounts and about many models at once: rations, expansion, sorting, pages by ``Link``."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

from tests.emulators.hub.state import Hub, Repo
from tests.emulators.loopback import Reply

EXPANDABLE = {
    "author", "baseModels", "cardData", "childrenModelCount", "config", "createdAt", "disabled", "downloads", "downloadsAllTime",
    "evalResults", "gated", "gguf", "inference", "inferenceProviderMapping", "lastModified", "library_name", "likes", "mask_token",
    "model-index", "pipeline_tag", "private", "resourceGroup", "safetensors", "sha", "siblings", "spaces", "tags",
    "transformersInfo", "trendingScore", "usedStorage", "widgetData", "xetEnabled",
}  # fmt: skip
SORTABLE = {"createdAt", "downloads", "lastModified", "likes", "trendingScore"}
TAKES = {
    "search",
    "author",
    "filter",
    "pipeline_tag",
    "sort",
    "direction",
    "limit",
    "cursor",
    "expand",
    "full",
    "gated",
}
PAGE = 1000


def whoami(hub: Hub, token: str) -> Reply:
    """The account of a token; a strict ration."""
    if hub.whoami_left <= 0:
        return Reply(
            429,
            {"error": "We had to rate limit your IP."},
            {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'},
        )
    hub.whoami_left -= 1
    if token not in hub.accounts:
        return Reply(401, {"error": "Invalid username or password."})
    return Reply(200, hub.accounts[token])


def list_models(hub: Hub, token: str, query: dict[str, list[str]], base: str) -> Reply:
    """``GET /api/models``. An unknown parameter or field is refused, so that a misspelt one shows."""
    if token and token not in hub.accounts:
        message = "Invalid credentials in Authorization header"
        return Reply(401, {"error": message}, {"X-Error-Message": message})
    given = {name: values[0] for name, values in query.items()}
    expand = query.get("expand", [])
    if (
        (wrong := set(query) - TAKES)
        or (wrong := set(expand) - EXPANDABLE)
        or (wrong := {given.get("sort", "likes")} - SORTABLE)
    ):
        return Reply(400, {"error": f"Invalid option: {', '.join(sorted(wrong))}"})
    found = [repo for repo in hub.repos if repo.kind == "models" and _matches(repo, given, token)]
    ranks = {repo.id: repo.facts.get(given.get("sort", "trendingScore")) for repo in found}
    found.sort(key=lambda repo: (ranks[repo.id] is not None, ranks[repo.id] or 0), reverse=True)
    first = int(base64.b64decode(given["cursor"])) if "cursor" in given else 0
    limit = min(int(given.get("limit", PAGE)), PAGE)
    headers = {}
    if first + limit < len(found):
        cursor = base64.b64encode(str(first + limit).encode()).decode()
        following = urlencode(
            [(n, v) for n, values in query.items() if n != "cursor" for v in values] + [("cursor", cursor)]
        )
        headers["Link"] = f'<{base}/api/models?{following}>; rel="next"'
    return Reply(200, [_entry(repo, expand) for repo in found[first : first + limit]], headers)


def _matches(repo: Repo, given: dict[str, str], token: str) -> bool:
    if repo.private and token not in repo.readers:
        return False
    named = all(word in repo.id.lower() for word in given.get("search", "").lower().split())
    return named and given.get("pipeline_tag", repo.facts.get("pipeline_tag")) == repo.facts.get("pipeline_tag")


def _entry(repo: Repo, expand: list[str]) -> dict[str, Any]:
    info = {**repo.info(), "author": repo.id.partition("/")[0]}
    wanted = expand or ["likes", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt"]
    return {
        "_id": info["_id"],
        "id": repo.id,
        "modelId": repo.id,
        **{name: info[name] for name in wanted if name in info},
    }
