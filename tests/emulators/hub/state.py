"""What the emulated hub holds: repositories at one commit, who may read them, and what was asked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.hub.stored import Stored
from tests.emulators.loopback import Emulated, Reply, Request


@dataclass
class Repo:
    """A repository at one commit. ``gated``: listed for everybody, files only for ``readers`` (tokens)."""

    id: str
    files: dict[str, bytes | Stored]
    kind: str = "models"
    gated: bool = False
    private: bool = False
    readers: frozenset[str] = frozenset()
    branch: str = "main"
    facts: dict[str, Any] = field(
        default_factory=dict
    )  # what a listing can be asked to expand: downloads, safetensors, cardData …

    @property
    def commit(self) -> str:
        digest = hashlib.sha1(self.id.encode())
        for path in sorted(self.files):
            content = self.files[path]
            digest.update(path.encode() + (content.sha256.encode() if isinstance(content, Stored) else content))
        return digest.hexdigest()

    def info(self, *, blobs: bool = False) -> dict[str, object]:
        """The body of ``/api/models/<id>``, as far as clients read it. ``blobs``: with sizes and digests of files."""
        return {
            "_id": self.commit[:24],
            "id": self.id,
            "sha": self.commit,
            "private": self.private,
            "gated": "auto" if self.gated else False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [self._sibling(path, blobs) for path in sorted(self.files)],
            **self.facts,
        }

    def _sibling(self, path: str, blobs: bool) -> dict[str, object]:
        content = self.files[path]
        if not blobs:
            return {"rfilename": path}
        lfs = {"lfs": {"sha256": sha256(content), "size": len(content), "pointerSize": 134}} if is_large(path) else {}
        return {"rfilename": path, "size": len(content), "blobId": blob_id(content), **lfs}

    def tree(self) -> list[dict[str, object]]:
        """The body of ``/api/models/<id>/tree/<commit>?recursive=true``."""
        entries = []
        for path, content in sorted(self.files.items()):
            entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
            if is_large(path):
                entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
            entries.append(entry)
        return entries


@dataclass
class Hub(Emulated):
    """The whole hub. ``asked`` lists ``METHOD path`` of every request."""

    repos: list[Repo] = field(default_factory=list)
    down: bool = False
    tokens_at_cdn: list[str] = field(default_factory=list)  # and where LFS objects are stored
    spans: list[tuple[int, int]] = field(
        default_factory=list
    )  # of the large files: what was asked for, first and last byte
    cuts: list[int] = field(
        default_factory=list
    )  # so many bytes of each next large answer are sent, and then the line is closed
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)  # token → what whoami says
    whoami_left: int = 10_000  # the hub rations this call
    stored: dict[str, bytes] = field(default_factory=dict)  # LFS objects that have arrived, by sha256
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)  # of objects that are still arriving
    commits: list[dict[str, Any]] = field(default_factory=list)  # the header of each
    part_bytes: int | None = None  # larger objects go in parts of this size

    def note(self, request: Request) -> str:
        return str(request)

    def before(self, request: Request) -> Reply | None:
        return Reply(503, {}) if self.down else None

    def find(self, kind: str, repo_id: str) -> Repo | None:
        return next((repo for repo in self.repos if (repo.kind, repo.id) == (kind, repo_id)), None)


def is_large(path: str) -> bool:
    """What the hub keeps in LFS and serves from another host."""
    return path.endswith((".safetensors", ".bin", ".parquet"))


def sha256(content: bytes | Stored) -> str:
    if isinstance(content, Stored):
        return content.sha256
    return hashlib.sha256(content).hexdigest()


def blob_id(content: bytes | Stored) -> str:
    """git's own id of a file's content; of one on disk, which is large, that of something that stands for it."""
    content = content.sha256.encode() if isinstance(content, Stored) else content
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
