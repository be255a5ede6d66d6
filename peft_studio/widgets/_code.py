"""The Python that panels show: how it begins, and what a run needs. It does the same in a fresh kernel, so it names its home."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import home_folder


def opening(home: Path, *also: str) -> str:
    """The lines that bring ``studio``: the kernel's shared one where that has this home. ``also`` is imported too."""
    shared = home == home_folder()
    names = ", ".join(sorted([*also, "studio" if shared else "Studio"]))
    made = "" if shared else f"studio = Studio({str(home)!r})\n"
    return f"from peft_studio import {names}\n\n{made}"


def show_code(folder: RunFolder, overlaid: Sequence[str] = ()) -> str:
    """Shows the run, with the losses of other runs laid over its own."""
    chosen = f"studio.session.choose(overlaid={tuple(overlaid)!r})\n" if overlaid else ""
    return f"{opening(_home_of(folder))}{chosen}studio.run({folder.id!r}).show()"


def retry_code(folder: RunFolder, changes: dict[str, Any]) -> str:
    """Starts the run again with these fields changed. A run's folder may be a stranger's: no name of its own becomes code."""
    fields = ", ".join(f"{name}={value!r}" for name, value in changes.items() if name in RunSpec.model_fields)
    return f"{opening(_home_of(folder))}studio.launch(studio.run({folder.id!r}).spec.replace({fields}))"


def resume_code(folder: RunFolder, max_usd: str) -> str:
    """Goes on with the run; with a cap of its own where one is named."""
    cap = f"max_usd={max_usd!r}" if max_usd else ""
    return f"{opening(_home_of(folder))}studio.run({folder.id!r}).resume({cap})"


def _home_of(folder: RunFolder) -> Path:
    return folder.path.parents[1]  # <home>/runs/<id>
