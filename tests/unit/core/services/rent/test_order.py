"""What opens a machine, and who may see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio.core.redact import REDACTOR
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.services.rent.order import Passes
from tests.unit.core.services.rent.world import LABEL, intent


@pytest.mark.parametrize("again", [False, True])
def test_what_opens_a_machine_is_hidden_in_what_its_provider_says(tmp_path: Path, again: bool) -> None:
    """Who is sent it may quote it, in an error or in what his connector prints; also to another process, which reads it from the disk."""
    (folder := RunFolder(tmp_path / "r-20261126-101112-00000a")).path.mkdir()
    given = Passes(folder).make(intent(), tls=False)
    if again:
        found = Passes(folder).find(LABEL)
        assert found
        given = found
    said = f"400: cannot parse {given.token.reveal()}!"
    assert given.token.reveal() not in REDACTOR.text(said)
