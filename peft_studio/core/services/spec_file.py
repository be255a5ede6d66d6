"""A spec as a file that people keep and pass on."""

from __future__ import annotations

import os
from pathlib import Path

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.errors import SpecError
from peft_studio.core.services.basis import localise
from peft_studio.core.spec import RunSpec


def save_spec(spec: RunSpec, path: str | os.PathLike[str]) -> Path:
    """Write a spec. It holds no secret and no rows.

    Raises:
        SpecError: The file cannot be written there.
    """
    target = Path(path)
    try:
        target.write_text(spec.to_json(), encoding="utf-8")
    except OSError as exc:
        raise SpecError(
            f"{target} cannot be written: {exc}.", hint="Name a file in a folder that you may write."
        ) from exc
    return target


def load_spec(path: str | os.PathLike[str]) -> tuple[ExplainedSpec, list[str]]:
    """Read a spec file. The notes say what differs on this machine. Raises as :func:`read_spec`."""
    return localise(read_spec(path), relative_to=Path(path).resolve().parent)


def read_spec(path: str | os.PathLike[str]) -> ExplainedSpec:
    """The spec of a file as it was written, wherever that was.

    Raises:
        SpecError: There is no such file, it is not a spec, or of a newer version.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise SpecError(f"There is no file {path}.", hint="studio.export(spec, path) writes one.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        hint = "Name a spec file; studio.export(spec, path) writes one."
        raise SpecError(f"{path} cannot be read: {exc}.", hint=hint) from exc
    return ExplainedSpec.from_json(text)
