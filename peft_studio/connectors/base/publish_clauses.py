"""What a registry that can be published to must do, as tests; a part of :class:`peft_studio.connectors.base.conformance.RegistryConformance`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import pytest

from peft_studio.core.errors import Cancelled, ConnectorError
from peft_studio.core.ports import ConnectorInfo
from peft_studio.core.ports.registry import Published, Upload, UploadFile

FILES = {
    "README.md": b"# An adapter\n",
    "adapter_config.json": b"{}",
    "adapter_model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
}


class PublishClauses:
    """``PUBLISHES_TO``: a place there that the keys may write, with nothing in it yet; ``SETTINGS``: what else the platform must be told."""

    INFO: ClassVar[ConnectorInfo]
    PUBLISHES_TO: ClassVar[str] = ""
    SETTINGS: ClassVar[dict[str, Any]] = {}
    folder: Path

    def make_upload(self) -> Upload:
        """A small adapter, on this machine, on its way to ``PUBLISHES_TO``."""
        assert self.PUBLISHES_TO, "it has upload_artifact: name a place in PUBLISHES_TO that it may publish to"
        self.folder.mkdir(parents=True, exist_ok=True)
        files = []
        for name, content in FILES.items():
            source = self.folder / f"to send {name}"
            source.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            files.append(UploadFile(path=name, source=str(source), size_bytes=len(content), sha256=digest))
        return Upload(id="push-conformance", repo=self.PUBLISHES_TO, files=tuple(files), settings=self.SETTINGS)

    def test_publishing_again_changes_nothing(self, connector: Any) -> None:
        """It is there, with its bytes told as they arrive and never more than there are; a second time it says that it was there already."""
        upload, told = self._upload(connector), list[int]()
        first = Published.model_validate(connector.upload_artifact(upload, told.append))
        again = Published.model_validate(connector.upload_artifact(upload, told.append))
        total = sum(file.size_bytes for file in upload.files)
        assert (first.repo, first.already) == (self.PUBLISHES_TO, False)
        assert again.already, "a second upload of the same says that it was there already"
        assert (again.repo, again.url, again.revision) in {
            (first.repo, first.url, first.revision),
            (first.repo, first.url, None),
        }
        assert told, "report is called with the bytes that are there"
        assert all(0 <= sent <= total for sent in told)

    def test_a_file_that_has_changed_is_not_published(self, connector: Any) -> None:
        """Neither another content of the same size nor a file that is gone; put right, it is published as if never tried."""
        upload = self._upload(connector)
        source = Path(upload.files[-1].source)
        before = source.read_bytes()
        for content in (before[:-1] + b"!", None):
            if content is None:
                source.unlink()
            else:
                source.write_bytes(content)
            with pytest.raises(ConnectorError) as caught:
                connector.upload_artifact(upload, lambda sent: None)
            assert caught.value.hint
        source.write_bytes(before)
        assert not connector.upload_artifact(upload, lambda sent: None).already, "it had been published all the same"

    def test_an_upload_can_be_called_off(self, connector: Any) -> None:
        """What ``report`` raises ends it and comes out as it is; the next try is a whole one."""
        upload = self._upload(connector)

        def called_off(sent: int) -> None:
            raise Cancelled("Called off.", hint="Push again.", platform=self.INFO.name)

        with pytest.raises(Cancelled, match=r"Called off\."):
            connector.upload_artifact(upload, called_off)
        connector.upload_artifact(upload, lambda sent: None)
        assert connector.upload_artifact(upload, lambda sent: None).already

    def _upload(self, connector: Any) -> Upload:
        if not hasattr(connector, "upload_artifact"):
            pytest.skip("it cannot be published to")
        return self.make_upload()
