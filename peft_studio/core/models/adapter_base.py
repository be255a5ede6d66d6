"""Which base model an adapter was trained on, judged from digests and names: this one, another, or not to be known from here.

Pure: digests and names come from ``adapter_files``. What a name is worth: ``docs/decisions/2026-11-26-whose-adapter.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from peft_studio.core.models.catalog import EMBEDDED
from peft_studio.core.models.prepared import find_origin, is_hub_id
from peft_studio.core.models.weights import FINGERPRINT_PREFIX

_SAME_ANYWAY = "if it is the same model under another name, say so with same_base=True (in a terminal --same-base)."


@dataclass(frozen=True)
class Trained:
    """What an adapter says of its base. ``digest`` is of the weights it was trained on, or of the folder that it names."""

    name: str
    digest: str | None = None
    by_folder: bool = False  # the digest is of what stands in the named folder today


@dataclass(frozen=True)
class Verdict:
    """``same``: nothing to say. ``unknown``: say ``message``, go on. ``other``: refuse."""

    kind: Literal["same", "unknown", "other"]
    message: str = ""
    hint: str = ""


_SAME = Verdict("same")


def judge_base(trained: Trained, *, name: str, digest: str | None) -> Verdict:
    """Whether an adapter belongs to the base of this name and digest. Digests decide where both are known, else names."""
    mine, other = _spell(trained.name), _spell(name)
    if _comparable(trained.digest) and _comparable(digest):
        if trained.digest == digest:
            return _SAME  # whatever it is called
        if mine != other or trained.name.strip().lower() == name.strip().lower():
            return _judge_digests(trained, name)
        made = f"it was trained on {trained.name}, and {name} is the same model in other numbers"
        return Verdict("unknown", f"{made}; its answers may be a little worse than where it was trained.")
    if not mine:
        return Verdict("unknown", "it does not say which base it was trained on; all that is known is that shapes fit.")
    if mine == other:
        return _SAME
    if is_hub_id(mine) and is_hub_id(other) and _last(mine) != _last(other):
        why = f"it was trained on {trained.name}, and this is {name}."
        return Verdict("other", why, f"Open the chat with {trained.name}; {_SAME_ANYWAY}")
    why = f"it names {trained.name} as its base, and whether {name} is the same cannot be seen from here; shapes fit."
    return Verdict("unknown", why)


def _judge_digests(trained: Trained, name: str) -> Verdict:
    place = trained.name or "the base it was trained on"
    if trained.by_folder:
        why = f"it was trained on {place}, which stands on this machine and has other weights than {name}."
    elif _spell(trained.name) == _spell(name):
        why = f"it was trained on other weights of {name} than the ones here (their digests differ)."
        place = "the revision it was trained on"
    else:
        why = f"it was trained on {trained.name or 'another base'}; {name} has other weights (their digests differ)."
    return Verdict("other", why, f"Open the chat with {place}; {_SAME_ANYWAY}")


def _comparable(digest: str | None) -> bool:
    return digest is not None and digest.startswith(FINGERPRINT_PREFIX)


def _spell(name: str) -> str:
    """One spelling a model: hub ids in lower case, a folder of the hub's cache as its repository, an embedded model as
    the one it was made from counts with it."""
    text = name.strip()
    if not is_hub_id(text):
        origin = find_origin(text) if text else None
        if origin is None:
            return text.rstrip("/\\")
        text = origin.repo
    aliases = {model.hub_id.lower(): model.name for model in EMBEDDED.values()}
    return aliases.get(text.lower(), text.lower())


def _last(name: str) -> str:
    """What a repository is called without its owner: mirrors keep it."""
    return PurePath(name).name
