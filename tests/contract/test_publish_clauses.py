"""The clauses for publishing refuse what breaks them: each of these connectors is the hub's with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.base.clauses import find_class_faults
from peft_studio.connectors.base.publish_clauses import PublishClauses
from peft_studio.connectors.huggingface.connector import HuggingFace
from peft_studio.core.errors import ConnectorError
from peft_studio.core.ports.registry import Published, Upload
from peft_studio.core.redact import Secret
from tests.contract import test_registries
from tests.emulators.hub import Hub, serve_hub

Report = Callable[[int], None]
ACCOUNT = {"type": "user", "name": "ann", "orgs": [], "auth": {"accessToken": {"role": "write"}}}


class Doubles(HuggingFace):
    """Never says that it was there: whoever repeats a push is told of a new one."""

    def upload_artifact(self, upload: Upload, report: Report) -> Published:
        return super().upload_artifact(upload, report).model_copy(update={"already": False})


class Trusts(HuggingFace):
    """Sends what is on the disk now, whatever was announced."""

    def upload_artifact(self, upload: Upload, report: Report) -> Published:
        import hashlib

        now = []
        for file in upload.files:
            content = Path(file.source).read_bytes() if Path(file.source).exists() else b""
            Path(file.source).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            now.append(file.model_copy(update={"size_bytes": len(content), "sha256": digest}))
        return super().upload_artifact(upload.model_copy(update={"files": tuple(now)}), report)


class Silent(HuggingFace):
    """Tells nobody how far it is, and cannot be called off."""

    def upload_artifact(self, upload: Upload, report: Report) -> Published:
        return super().upload_artifact(upload, lambda sent: None)


class Swallows(HuggingFace):
    """Goes on whatever ``report`` raises."""

    def upload_artifact(self, upload: Upload, report: Report) -> Published:
        def quietly(sent: int) -> None:
            try:
                report(sent)
            except ConnectorError:
                return

        return super().upload_artifact(upload, quietly)


class Boasts(HuggingFace):
    """Tells of more bytes than there are."""

    def upload_artifact(self, upload: Upload, report: Report) -> Published:
        return super().upload_artifact(upload, lambda sent: report(sent * 1000))


@pytest.fixture(autouse=True)
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from peft_studio.connectors.base import patience

    monkeypatch.setattr(patience, "_paces", {})
    with serve_hub(Hub(accounts={test_registries.TestHuggingFace.KEYS["token"]: ACCOUNT})) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Doubles, "test_publishing_again_changes_nothing"),
        (Silent, "test_publishing_again_changes_nothing"),
        (Boasts, "test_publishing_again_changes_nothing"),
        (Trusts, "test_a_file_that_has_changed_is_not_published"),
        (Silent, "test_an_upload_can_be_called_off"),
        (Swallows, "test_an_upload_can_be_called_off"),
    ],
)
def test_a_broken_publisher_is_refused(tmp_path: Path, broken: type[HuggingFace], clause: str) -> None:
    """By the clause that it breaks, which the sound one keeps."""
    for connector in (HuggingFace, broken):
        suite: Any = PublishClauses()
        suite.INFO, suite.PUBLISHES_TO, suite.folder = HuggingFace.info, f"ann/{connector.__name__}", tmp_path
        held = getattr(suite, clause)
        keys = {"token": Secret(test_registries.TestHuggingFace.KEYS["token"])}
        if connector is HuggingFace:
            held(connector(keys))
        else:
            with pytest.raises((AssertionError, pytest.fail.Exception)):
                held(connector(keys))


def test_one_that_publishes_names_where(tmp_path: Path) -> None:
    """A suite without a place fails rather than passing over the clauses."""
    suite: Any = PublishClauses()
    suite.INFO, suite.folder = HuggingFace.info, tmp_path
    with pytest.raises(AssertionError, match="PUBLISHES_TO"):
        suite.test_an_upload_can_be_called_off(HuggingFace({}))


def test_it_publishes_or_a_person_does() -> None:
    """Not both: with steps for a person, ``upload_artifact`` is never called."""
    info = HuggingFace.info.model_copy(update={"by_hand": ("Open the page.",)})
    cls = type("Both", (HuggingFace,), {"info": info})
    assert find_class_faults(info, cls) == [
        "it has `upload_artifact`, and `by_hand` in its `info`: either it publishes, or a person does"
    ]
