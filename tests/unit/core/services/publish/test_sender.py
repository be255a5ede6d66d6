"""How the outbox hears of a push: what is over, what is tried again, and what may have arrived."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peft_studio.core.errors import (
    BadResponse,
    ConnectorError,
    Forbidden,
    NotAuthorised,
    RateLimited,
    Refused,
    Unavailable,
)
from peft_studio.core.offline.entry import Entry
from peft_studio.core.offline.sender import SendLater, SendRefused
from peft_studio.core.ports import Published
from peft_studio.core.services.publish.record import Publications
from peft_studio.core.services.publish.sender import PushSender
from tests.unit.core.services.publish.test_record import UPLOAD

NOW = datetime(2026, 11, 26, tzinfo=UTC)


class OneConnector:
    """A catalog whose one connector does as it is told."""

    def __init__(self, does: Published | ConnectorError) -> None:
        self.does = does

    def start(self, name: str, kind: type[Published], work: Callable[[Any], Any], *, deadline_s: float) -> Any:
        return SimpleNamespace(result=lambda: work(self))

    def upload_artifact(self, upload: Any, report: Callable[[int], None]) -> Published:
        assert upload == UPLOAD
        if isinstance(self.does, ConnectorError):
            raise self.does
        return self.does


def entry(payload: Any = None) -> Entry:
    given = payload if payload is not None else {"to": "hub", "upload": UPLOAD.model_dump(mode="json")}
    return Entry("e1", 1, "hub:me/x", "upload", given, "waiting", False, False, 0, 0, 1, NOW, None, 0.0, "", "")


def sender(home: Path, does: Any) -> PushSender:
    return PushSender(home, OneConnector(does), lambda name: None)  # type: ignore[arg-type]  # as much of a catalog as is asked


def test_what_arrived_is_recorded_and_its_address_kept(tmp_path: Path) -> None:
    """The receipt is the address."""
    assert sender(tmp_path, Published(repo="me/x", url="http://h/me/x")).send(entry()) == "http://h/me/x"
    assert [line["what"] for line in Publications(tmp_path).read()] == ["published"]


@pytest.mark.parametrize("error", [NotAuthorised("a"), Forbidden("b"), Refused("c")])
def test_a_no_is_for_good(tmp_path: Path, error: ConnectorError) -> None:
    """It goes to the dead letters, and into the record."""
    with pytest.raises(SendRefused):
        sender(tmp_path, error).send(entry())
    assert [line["what"] for line in Publications(tmp_path).read()] == ["failed"]


@pytest.mark.parametrize(
    ("error", "not_sent", "unreachable", "after_s"),
    [
        (RateLimited("a", retry_after_s=9.0), True, False, 9.0),
        (Unavailable("b"), True, True, None),
        (Unavailable("c", may_have_happened=True), False, False, None),
        (Unavailable("d", status=503, retry_after_s=4.0), False, False, 4.0),
        (BadResponse("e"), False, False, None),
    ],
)
def test_trouble_is_waited_for(
    tmp_path: Path, error: ConnectorError, not_sent: bool, unreachable: bool, after_s: float | None
) -> None:
    """As long as it was told, at once when it was the network, and never taken for a no."""
    with pytest.raises(SendLater) as caught:
        sender(tmp_path, error).send(entry())
    assert (caught.value.not_sent, caught.value.unreachable, caught.value.retry_after_s) == (
        not_sent,
        unreachable,
        after_s,
    )
    assert Publications(tmp_path).read() == []


@pytest.mark.parametrize("payload", [{}, {"to": "hub"}, {"to": "hub", "upload": {"id": 3}}, [], "x"])
def test_what_is_no_push_is_refused(tmp_path: Path, payload: Any) -> None:
    """After an edit by hand, say."""
    with pytest.raises(SendRefused, match="no push"):
        sender(tmp_path, Published(repo="x")).send(entry(payload))
