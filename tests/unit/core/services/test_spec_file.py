"""Spec files: what cannot be read or written says so in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio.core.errors import SpecError
from peft_studio.core.services.spec_file import load_spec, save_spec
from tests.ui.write_run import build_spec


def test_what_is_no_spec_file(tmp_path: Path) -> None:
    """Missing, a folder, not text: each is a SpecError with a way on."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    for path, said in ((tmp_path / "none.json", "no file"), (tmp_path, "cannot be read"), (binary, "cannot be read")):
        with pytest.raises(SpecError, match=said) as caught:
            load_spec(path)
        assert caught.value.hint


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A folder that is not there, and a folder instead of a file."""
    for path in (tmp_path / "no" / "spec.json", tmp_path):
        with pytest.raises(SpecError, match="cannot be written"):
            save_spec(build_spec(), path)
