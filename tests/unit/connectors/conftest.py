"""What tests of connectors share: no test pays for the requests of another, though ports come again, and none sleeps."""

from __future__ import annotations

import pytest

from peft_studio.connectors.base import door, patience


@pytest.fixture(autouse=True)
def fresh_paces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_paces", {})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between attempts; tests that ask how long they are put a list in its place."""
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
