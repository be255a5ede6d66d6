"""The cache of the hub's own client, which other programs fill: what stands there whole need not travel again. Reads; changes nothing.

Its layout is ``models--org--name/snapshots/<commit>/<file>``, each file a link to ``blobs/<digest>``. Where it has no links (Windows) nothing is
known of a file's digest, and nothing is taken from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from peft_studio.core.ports.registry import ModelFile


def find_cached(
    repo: str, revision: str, files: Iterable[ModelFile], *, kind: str = "models", environment: Mapping[str, str]
) -> Path | None:
    """The folder that has all of these files at this commit, each of the size and digest that the hub tells."""
    folder = _cache_folder(environment) / f"{kind}--{repo.replace('/', '--')}" / "snapshots" / revision
    return folder if all(_is_whole(folder / file.path, file) for file in files) else None


def _is_whole(path: Path, file: ModelFile) -> bool:
    digest = file.sha256 or file.blob_id
    try:
        return digest is not None and path.readlink().name == digest and path.stat().st_size == file.size_bytes
    except OSError:
        return False


def _cache_folder(environment: Mapping[str, str]) -> Path:
    """As the client finds it."""
    if named := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expandvars(named)).expanduser()
    root = environment.get("HF_HOME") or os.path.join(environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(os.path.expandvars(root)).expanduser() / "hub"
