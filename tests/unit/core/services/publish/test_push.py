"""One upload through its connector, waited for."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from peft_studio.core.errors import Refused
from peft_studio.core.services.publish.push import send
from tests.unit.core.services.publish.test_record import UPLOAD


class Interrupted:
    """A catalog whose caller presses Ctrl-C while a connector is at work."""

    work: Callable[[Any], Any]

    def start(self, name: str, kind: type, work: Callable[[Any], Any], *, deadline_s: float) -> Any:
        def result() -> None:
            raise KeyboardInterrupt

        self.work = work
        return SimpleNamespace(result=result)


def test_an_interrupt_ends_an_upload_at_its_next_piece() -> None:
    """Nobody waits for it any more: nothing is to appear later, behind the user's back."""
    catalog, told = Interrupted(), list[int]()
    with pytest.raises(KeyboardInterrupt):
        send(catalog, "hub", UPLOAD, told.append)  # type: ignore[arg-type]  # as much of a catalog as is asked
    connector = SimpleNamespace(upload_artifact=lambda upload, report: report(1))
    with pytest.raises(Refused, match="interrupted"):
        catalog.work(connector)
    assert told == []
