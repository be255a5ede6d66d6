"""Where a base model stands on this machine once it has been prepared, and how its folder tells what it is.

Reads names and small JSON files. Downloading and converting is ``runner.trainer.prepare``.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from peft_studio.core.models.catalog import EMBEDDED, find_embedded
from peft_studio.core.models.facts import read_config
from peft_studio.core.models.trust import COMMIT, PinnedCode, RemoteCode, check_trusted

# org/name or name, as the hub spells them; never a path that could climb out of the home.
HUB_ID = re.compile(r"^(?:[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")
MARKER = "peft_studio.json"  # what a folder of ours says about itself
_TOKENIZER = "tokenizer.json"


def is_hub_id(name: str) -> bool:
    """Whether this can be a repository id (it may still not exist)."""
    return bool(HUB_ID.fullmatch(name)) and ".." not in name and "--" not in name


def find_local(name: str) -> Path | None:
    """The folder, if ``name`` is one: a path with a separator or tilde, or a folder here with a config.json."""
    path = Path(name).expanduser()
    if path.is_dir() and (path.is_absolute() or name.startswith((".", "~")) or (path / "config.json").exists()):
        return path.resolve()
    return None


def settle_name(name: str) -> str:
    """A model's name that means the same in any working folder: a local folder by its absolute path, others as they are."""
    folder = None if find_embedded(name) else find_local(name)
    return str(folder) if folder else name


def looks_like_path(name: str) -> bool:
    """Whether the user must have meant a folder, so that a missing one is not searched for on the hub."""
    return name.startswith(("/", ".", "~")) or "\\" in name or name[1:2] == ":" or name.count("/") > 1


def prepared_path(name: str, home: Path) -> Path:
    """Where preparing ``name`` leaves a folder of ours: embedded models, and local ones that needed a new tokenizer."""
    embedded = find_embedded(name)
    if embedded:
        return home / "models" / embedded.name
    digest = hashlib.sha256(str(Path(name).expanduser().resolve()).encode()).hexdigest()[:16]
    return home / "models" / "local" / digest


def pointer_path(repo: str, home: Path, *, kind: str = "hub") -> Path:
    """The small file that says in which folder a hub repository was put. ``kind``: ``hub`` or ``datasets``."""
    return home / ("models" if kind == "hub" else "") / kind / (repo.replace("/", "--") + ".json")


def fetched_path(model: str, revision: str, home: Path, *, registry: str) -> Path:
    """Where ``studio.download`` puts a model; of a hub's as its own cache names it, so that :func:`find_origin` reads it."""
    kind = "hub" if registry == "huggingface" else registry
    return home / "models" / kind / f"models--{model.replace('/', '--')}" / "snapshots" / revision


def find_fetched(repo: str, home: Path) -> Path | None:
    """The folder that ``studio.download`` has put a hub repository into and pointed to, prepared or not."""
    folder = _read_pointer(pointer_path(repo, home))
    is_ours = (
        folder is not None and folder.parent.name == "snapshots" and folder.is_relative_to(home / "models" / "hub")
    )
    return folder if folder and is_ours and folder.is_dir() else None


def find_prepared(name: str, home: Path | str) -> Path | None:
    """The folder of a base model that is ready to load without network, or None when it must be prepared first."""
    root = Path(home)
    if find_embedded(name):
        return _complete(prepared_path(name, root))
    local = find_local(name)
    if local is not None:
        return _complete(local) or _complete(prepared_path(name, root))
    return find_pointed(name, root) if is_hub_id(name) else None


def find_config(name: str, home: Path | str) -> dict[str, Any] | None:
    """The config.json of a base model: its folder's, else what is known of an embedded one before it is first unpacked.

    Raises:
        ModelFailure: Its folder is there, and its config.json cannot be read.
    """
    if folder := find_prepared(name, home):
        return read_config(folder)
    embedded = find_embedded(name)
    return dict(embedded.config) if embedded else None


def list_known(home: Path | str) -> list[str]:
    """Names of base models that a person can choose at once: those embedded, then those prepared in this home."""
    root = Path(home) / "models"
    hub = sorted(path.stem.replace("--", "/", 1) for path in (root / "hub").glob("*.json"))
    local = sorted(get_base_name(folder) for folder in (root / "local").glob("*") if _complete(folder))
    found = [*(model.name for model in EMBEDDED.values()), *(name for name in hub if find_pointed(name, Path(home)))]
    return [*found, *(name for name in local if Path(name).is_dir())]


def find_pointed(repo: str, home: Path, *, kind: str = "hub") -> Path | None:
    """The folder that a hub repository was fetched to, if it is still there."""
    folder = _read_pointer(pointer_path(repo, home, kind=kind))
    if folder is None:
        return None
    if kind != "hub":
        return folder if folder.is_dir() else None
    return _complete(folder)


def _read_pointer(pointer: Path) -> Path | None:
    try:
        return Path(json.loads(pointer.read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_origin(folder: Path | str) -> RemoteCode | None:
    """Repository and commit of a folder inside the hub's cache (``…/models--org--name/snapshots/<commit>``)."""
    path = Path(folder).absolute()  # not resolved: the cache's files are links, its folders are not
    if len(path.parts) < 3 or path.parent.name != "snapshots" or not COMMIT.fullmatch(path.name):
        return None
    cache_name = path.parent.parent.name
    if not cache_name.startswith("models--"):
        return None
    return RemoteCode(cache_name.removeprefix("models--").replace("--", "/", 1), path.name)


def check_folder(folder: Path, *, source: str, remote_code: PinnedCode | None = None) -> dict[str, Any]:
    """Apply the trust rules to a model folder and return its parsed config.json. Raises ModelFailure."""
    config = read_config(folder)
    names = [path.name for path in folder.iterdir()]
    check_trusted(names, config, source=source, origin=find_origin(folder), remote_code=remote_code)
    return config


def get_base_name(folder: Path | str) -> str:
    """What a person calls the model in this folder: its embedded name, its hub id, else the folder itself."""
    path = Path(folder)
    origin = find_origin(path)
    if origin:
        return origin.repo
    try:
        name = json.loads((path / MARKER).read_text(encoding="utf-8"))["base_model"]
    except (OSError, ValueError, KeyError, TypeError):
        return str(path)
    return name if isinstance(name, str) else str(path)


def _complete(folder: Path) -> Path | None:
    """The folder, when config, tokenizer and at least one weight file are there."""
    ready = (folder / "config.json").exists() and (folder / _TOKENIZER).exists() and any(folder.glob("*.safetensors"))
    return folder if ready else None
