"""Adapters on their way into a chat: where they are, whether they fit, and what is said when their base is in doubt."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft_studio.core.models.adapter_files import check_adapter, read_base_shape


class BaseDoubt(UserWarning):
    """An adapter may be one of another base model; from here it cannot be seen."""


def get_path(adapter: Any) -> Path:
    """The folder of an adapter given as a path or as an object that has one."""
    return Path(getattr(adapter, "path", adapter)).absolute()


def check_all(paths: Mapping[str, Path], model_folder: str | Path, *, same_base: bool) -> None:
    """Refuse what cannot join this base, before any process is started. Raises AdapterMismatch."""
    if paths:
        base = read_base_shape(model_folder)
        for name, path in paths.items():
            check_adapter(path, base, name=name, same_base=same_base)


def warn_of(name: str, doubt: str) -> None:
    """Say it as Python says such things: once for each place in the code."""
    warnings.warn(f"The adapter {name!r} may be one of another base: {doubt}", BaseDoubt, stacklevel=3)
