"""What is looked for in files before they leave, and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from peft_studio.core.services.publish.contents import disk_file, find_leaks, text_file

KEY = "hf_" + "k" * 34


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("all is well\n", []),
        (f"a\nb {KEY} c\n", ["secret_in_file"]),
        ("HF_TOKEN=abcdefgh12345678", ["secret_in_file"]),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n", ["secret_in_file"]),
        ("see /home/ann/data", ["path_in_file"]),
        ('{"p": "C:\\\\Users\\\\ann"}', ["path_in_file"]),
        ("sha256: " + "0" * 64, []),
    ],
)
def test_each_leak_is_found_and_never_quoted(text: str, found: list[str]) -> None:
    """Keys by shape and place, over several lines too; folders, also as JSON writes them."""
    problems = list(find_leaks((text_file("card.md", text),), private_paths=("/home/ann", "C:\\Users\\ann")))
    assert sorted({one.code for one in problems}) == found
    assert all(one.severity == "blocking" for one in problems)
    assert KEY not in "".join(map(str, problems))
    assert all("card.md, line" in one.message for one in problems)


def test_the_head_of_weights_is_looked_at_and_their_numbers_are_not(tmp_path: Path) -> None:
    """A key in the metadata is found; bytes that happen to spell one behind it are numbers."""
    numbers = np.frombuffer((KEY + "...").encode(), np.uint8)
    save_file({"w": numbers}, tmp_path / "a.safetensors", metadata={"made_with": KEY})
    save_file({"w": numbers}, tmp_path / "b.safetensors")
    files = [disk_file(name, tmp_path / name) for name in ("a.safetensors", "b.safetensors")]
    assert [one.message.split(",")[0] for one in find_leaks(tuple(files))] == ["a.safetensors"]


def test_a_root_home_does_not_match_everything() -> None:
    """A path of a sign or two says nothing."""
    assert list(find_leaks((text_file("a", "/ and ~"),), private_paths=("/", "~"))) == []


def test_a_secret_that_only_shows_over_lines_is_found() -> None:
    """No line of it is one; together they are."""

    def redact(text: str) -> str:
        return text.replace("half\nof it", "***")

    found = list(find_leaks((text_file("notes.md", "# A\nhalf\nof it\n"),), redact=redact))
    assert [(one.code, one.severity, "over several lines" in one.message) for one in found] == [
        ("secret_in_file", "blocking", True)
    ]
    assert list(find_leaks((text_file("notes.md", "# A\nhalf of it\n"),), redact=redact)) == []
