"""Where connectors are found: the entry points of installed packages, in one group for ours and everybody else's."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata

GROUP = "peft_studio.connectors"

# The same as in pyproject.toml. A tree that was installed before a connector came to it has no entry point for it.
BUILT_IN: Mapping[str, str] = {
    "civitai": "peft_studio.connectors.civitai:INFO",
    "huggingface": "peft_studio.connectors.huggingface:INFO",
    "lambdalabs": "peft_studio.connectors.lambdalabs:INFO",
    "ollama": "peft_studio.connectors.ollama:INFO",
    "ray": "peft_studio.connectors.ray:INFO",
    "runpod": "peft_studio.connectors.runpod:INFO",
    "vastai": "peft_studio.connectors.vastai:INFO",
}


@dataclass(frozen=True, slots=True)
class Source:
    """An entry point.

    Attributes:
        package: Who brings it.
        load: Imports what it leads to.
        place: Where that is, ``module:NAME``, for one that is to run in a process of its own: a third party's. Empty for ours, and for
            what a fresh interpreter could not import, such as a class of a notebook's cell; those run on threads of this process.
    """

    name: str
    package: str
    load: Callable[[], object]
    place: str = ""


def find_sources() -> tuple[list[Source], dict[str, str]]:
    """All of them, ours first; and those that took a name which was taken, with the reason."""
    found = {
        name: Source(name, "peft-studio", functools.partial(load_object, place)) for name, place in BUILT_IN.items()
    }
    taken = {}
    for entry in metadata.entry_points(group=GROUP):
        package = entry.dist.name if entry.dist else "an unknown package"
        if package == "peft-studio" and entry.name in BUILT_IN:
            continue
        if entry.name in found:
            taken[entry.name] = (
                f"{package} brings a connector {entry.name!r}, a name that {found[entry.name].package} has."
            )
        else:
            found[entry.name] = Source(entry.name, package, entry.load, entry.value)
    return list(found.values()), taken


def load_object(place: str) -> object:
    """What ``package.module:name`` leads to."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
