"""Specs and run folders without data, model or process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.store import RunStore
from peft_studio.core.spec import DataRef, RunSpec


def build_spec(**fields: Any) -> RunSpec:
    """A spec over rows that nobody reads."""
    ref = DataRef(path="rows.jsonl", origin="rows.jsonl", format="messages", rows=40, sha256="0" * 64)
    return RunSpec.build(**{"model": "org/base", "data": ref, "max_steps": 10, **fields})


@pytest.fixture
def spec() -> RunSpec:
    return build_spec()


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "home")


@pytest.fixture
def make_run(store: RunStore) -> Callable[..., RunFolder]:
    """Make a run's folder with only its first event."""
    return lambda **fields: store.create(build_spec(**fields))
