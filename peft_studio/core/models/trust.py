"""Which model files may be opened at all: weights that are only numbers, and no code that nobody named.

Pure rules over file names and a parsed config.json. Knows no disk and no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from peft_studio.core.models.failure import ModelFailure

# Pickle runs whatever its author wrote as soon as it is opened.
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
COMMIT = re.compile(r"^[0-9a-f]{40}$")


class PinnedCode(Protocol):
    """Permission to run one repository's Python at one commit (``RunSpec.remote_code`` has this shape)."""

    @property
    def repo(self) -> str: ...
    @property
    def commit(self) -> str: ...


class RemoteCode(NamedTuple):
    """The plain :class:`PinnedCode`."""

    repo: str
    commit: str


def parse_remote_code(text: str) -> RemoteCode:
    """Read ``org/name@<40 hex digits>``.

    Raises:
        ModelFailure: No repository, or no full commit: a branch name would let the code change under us.
    """
    repo, _, commit = text.partition("@")
    if "/" not in repo or not COMMIT.fullmatch(commit):
        raise ModelFailure(
            f"{text!r} does not name a repository and a commit.",
            code="untrusted",
            hint="Write org/name@ and the full commit hash (40 hex digits) that you have read.",
        )
    return RemoteCode(repo, commit)


def check_trusted(
    files: Iterable[str],
    config: Mapping[str, Any],
    *,
    source: str,
    origin: PinnedCode | None = None,
    remote_code: PinnedCode | None = None,
) -> None:
    """Refuse a base model that could run code, or that has no safetensors weights.

    Args:
        files: Names inside the model folder or repository.
        config: Its parsed config.json.
        source: What the user called the model; used in messages.
        origin: Repository and commit the files are known to come from; None for a folder of the user's.
        remote_code: What the user allowed.

    Raises:
        ModelFailure: With code ``untrusted`` or ``incomplete``; the hint is the way out.
    """
    names = list(files)
    _check_weights(names, source)
    if config.get("auto_map"):
        _check_code(config["auto_map"], source, origin, remote_code)


def _check_weights(names: list[str], source: str) -> None:
    if any(name.endswith(".safetensors") for name in names):
        return
    pickles = sorted(name for name in names if name.lower().endswith(PICKLE_SUFFIXES))
    if pickles:
        raise ModelFailure(
            f"{source} has its weights only as pickle ({', '.join(pickles[:3])}); opening one runs its author's code.",
            code="untrusted",
            hint="Use a repository or revision with .safetensors files; many hub models have one on a pull-request "
            "branch (refs/pr/N). If the weights are yours, save them again with model.save_pretrained(folder).",
        )
    raise ModelFailure(
        f"{source} has no .safetensors weights.",
        code="incomplete",
        hint="Point to the folder that holds config.json and model.safetensors (an adapter alone is not a base model).",
    )


def _check_code(auto_map: Any, source: str, origin: PinnedCode | None, allowed: PinnedCode | None) -> None:
    """Code runs only when the user named its repository and commit, and the files stand at exactly that commit."""
    if allowed is None:
        where = f"{origin.repo}@{origin.commit}" if origin else "its hub id at a full commit hash"
        raise ModelFailure(
            f"{source} brings its own Python code (auto_map in config.json), which would run on this machine.",
            code="untrusted",
            hint=f"Read that code first. To allow it, name repository and commit: remote_code={where}. "
            "Or pick a model that transformers knows by itself.",
        )
    elsewhere = sorted({ref.split("--")[0] for ref in _references(auto_map) if "--" in ref})
    if elsewhere:
        raise ModelFailure(
            f"{source} runs code from another repository ({', '.join(elsewhere)}), which has no pinned commit.",
            code="untrusted",
            hint="Only code inside the model's own repository can be allowed; use a model whose code stands beside it.",
        )
    if origin is None or (origin.repo.lower(), origin.commit) != (allowed.repo.lower(), allowed.commit):
        found = f"{origin.repo}@{origin.commit}" if origin else "a folder that no commit vouches for"
        raise ModelFailure(
            f"remote_code allows {allowed.repo}@{allowed.commit}, but {source} is {found}.",
            code="untrusted",
            hint="Give the model by its hub id at that commit, so that the code that runs is the code that was read.",
        )


def _references(auto_map: Any) -> list[str]:
    """Every ``[repo--]module.Class`` in an auto_map, whose values may be lists."""
    if isinstance(auto_map, str):
        return [auto_map]
    if isinstance(auto_map, Mapping):
        return [ref for value in auto_map.values() for ref in _references(value)]
    if isinstance(auto_map, (list, tuple)):
        return [ref for value in auto_map for ref in _references(value)]
    return []
