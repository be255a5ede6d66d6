"""Which names of strangers' may become paths."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from peft_studio.core.models.safe_name import UnsafeName, check_name, check_names


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "a/b/c.json", "Ünïcode 模型.txt", ".gitattributes", "a..b", "console.txt", "com10.txt"],
)
def test_plain_names_are_taken(name: str) -> None:
    """As they are."""
    assert check_name(name) == PurePosixPath(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "/etc/passwd", "../x", "a/../../x", "a/..", "..", ".", "./x", "a//b", "a/", "a/./b", "C:/x", "c:x", "a\\..\\b", "\\\\host\\x", "x\0y", "a\nb",
        "CON", "con.txt", "a/NUL", "nul.tar.gz", "LPT1", "COM¹.txt", "aux.", "CONIN$", "a.", "a ", " a", "x:stream", "what?", "a*b", "a<b", "a|b", 'a"b',
        "a" * 201, "b/" * 17 + "x", "a/" * 500, "\u202egpj.exe", "zero\u200bwidth", "\ud800",
    ],
    ids=ascii,
)  # fmt: skip
def test_names_that_lead_elsewhere_or_mean_other_things_elsewhere(name: str) -> None:
    """None of them, on any of the three systems."""
    with pytest.raises(UnsafeName):
        check_name(name)


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a"],
        ["Model.bin", "model.BIN"],
        ["a", "a/b"],
        ["a/b", "A"],
        ["é", "e\u0301"],
        ["ﬁle", "file"],
        ["x/y", "X/y"],
        ["straße", "STRASSE"],
    ],
    ids=ascii,
)
def test_two_names_that_would_be_one(names: list[str]) -> None:
    """On a disk without case, or of another Unicode form."""
    with pytest.raises(UnsafeName):
        check_names(names)


def test_files_in_one_folder_are_no_collision() -> None:
    """Nor are equal names in different folders."""
    assert len(check_names(["x/y", "x/z", "y/z"])) == 3
