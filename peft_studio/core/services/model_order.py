"""In which order models of several registries stand in one list. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from pydantic import ValidationError

from peft_studio.core.errors import StudioError
from peft_studio.core.ports.registry import Query, RegistryModel

Order = Literal["downloads", "updated", "likes", "size", "parameters"]
ORDERS: tuple[str, ...] = get_args(Order)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
# What all registries mean alike, so that it can be compared. Smallest first: what is looked for must fit somewhere.
_COMPARED: dict[str, Callable[[RegistryModel], Any]] = {
    "updated": lambda model: -(model.updated_at or _LONG_AGO).timestamp(),
    "size": lambda model: model.size_bytes if model.size_bytes is not None else float("inf"),
    "parameters": lambda model: model.parameters if model.parameters is not None else float("inf"),
}


def build_query(*, text: str, task: str | None, order: Order, limit: int) -> Query:
    """What registries are asked. None sorts by size, so sizes are compared among the most downloaded.

    Raises:
        StudioError: A value cannot be; each is named.
    """
    sort = "downloads" if order in ("size", "parameters") else order
    try:
        return Query(text=text, task=task, sort=sort, limit=limit)  # type: ignore[arg-type]
    except ValidationError as exc:
        faults = "; ".join(f"{error['loc'][0]}: {error['msg']}" for error in exc.errors(include_input=False))
        raise StudioError(f"That cannot be looked for: {faults}.", hint="See help(studio.models).") from exc


def merge_models(parts: Sequence[Sequence[RegistryModel]], order: Order) -> list[RegistryModel]:
    """By what is compared where that was asked for, unknown last. Else the best of each, then the second of each: downloads of
    different registries count different things over different times, and cannot be compared."""
    turns = itertools.zip_longest(*parts)
    return sort_models([model for turn in turns for model in turn if model is not None], order)


def sort_models(models: Sequence[RegistryModel], order: Order) -> list[RegistryModel]:
    """By what is compared, else as they are."""
    return sorted(models, key=_COMPARED[order]) if order in _COMPARED else list(models)
