"""Run specs on disk: read this version and older ones, refuse newer ones without touching them."""

from __future__ import annotations

import json
from typing import Any

from peft_studio.core.errors import SpecError

SPEC_VERSION = 1
WRITTEN = frozenset({"version", "processes", "gradient_accumulation_steps", "chosen", "basis"})


def read_spec_fields(text: str) -> dict[str, Any]:
    """The fields of a spec file, as this version names them."""
    try:
        raw: Any = json.loads(text)
    except json.JSONDecodeError as exc:
        raise SpecError(
            f"This is not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}.",
            hint="A spec file is written by studio.export(spec, path); export it again.",
        ) from exc
    if not isinstance(raw, dict):
        raise SpecError(
            f"A run spec is a JSON object, this is a {type(raw).__name__}.",
            hint="Export it again with studio.export(spec, path).",
        )
    version = raw.get("version", SPEC_VERSION)
    if not isinstance(version, int) or version > SPEC_VERSION:
        raise SpecError(
            f"This spec has version {version!r}; this PEFT Studio reads up to {SPEC_VERSION}.",
            hint="Update PEFT Studio (pip install -U peft-studio). The file was left as it is.",
            fields=("version",),
        )
    # Before there was ``sharding`` every file that we wrote had all other fields; who writes one by hand leaves out what he does not mean.
    written_before = "sharding" not in raw and raw.keys() >= WRITTEN
    return _of_before(raw) if written_before else raw


def _of_before(raw: dict[str, Any]) -> dict[str, Any]:
    """Until 2026-11-26 processes multiplied what a step sees. Now they share it, so an older spec's accumulation says it all; one process
    was every spec's, whether somebody wanted it or not."""
    processes = raw.get("processes")
    if not isinstance(processes, int) or processes < 2:
        return {name: value for name, value in raw.items() if name != "processes" or value != 1}
    return raw | {"gradient_accumulation_steps": raw["gradient_accumulation_steps"] * processes}
