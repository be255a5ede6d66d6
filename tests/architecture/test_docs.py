"""What the pages name is there: files, links, commands, failure codes, fields."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from peft_studio.core.runs.failures import HINTS
from peft_studio.core.spec import RunSpec

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
TOP = {entry.name for entry in ROOT.iterdir()}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_paths_exist(page: Path) -> None:
    """A path in backticks that begins with a folder or file of this repository is there."""
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", page.read_text(encoding="utf-8"))
    paths = [path for path in named if path.split("/")[0] in TOP]

    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link leads to a file of this repository."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    relative = [link.partition("#")[0] for link in links if not link.startswith(("https://", "#"))]

    assert [link for link in relative if not (page.parent / link).exists()] == []


IMAGES = ROOT / "docs" / "images"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_are_there_in_both_themes_with_words(page: Path) -> None:
    """Each has a light and a dark file, and a sentence for those who do not see it."""
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r'srcset="([^"]+)">\s*<img src="([^"]+)" alt="([^"]+)"', text)

    assert len(shown) == text.count("<img")
    for dark, light, words in shown:
        assert (page.parent / dark).is_file()
        assert (page.parent / light).is_file()
        assert dark == light.replace("-light.png", "-dark.png")
        assert len(words) > 40


def test_pictures_are_few_and_small() -> None:
    """None is left over, none is heavy."""
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = sorted(IMAGES.iterdir())

    assert [path.name for path in pictures if path.name not in text] == []
    assert [path.name for path in pictures if path.stat().st_size > 150_000] == []
    assert sum(path.stat().st_size for path in pictures) <= 2_000_000


def test_every_failure_code_is_explained() -> None:
    """Troubleshooting has a row for each failure code, and for no other."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == set(HINTS)


def test_named_commands_exist() -> None:
    """Every ``peft-studio …`` in the pages is a command."""
    from peft_studio.cli.parser import build_parser

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    known = build_parser().format_help()
    used = set(re.findall(r"`?peft-studio ([a-z]+)\b", text))

    assert {name for name in used if not re.search(rf"\b{name}\b", known)} == set()


def test_fields_of_the_training_page_exist() -> None:
    """Every field that the page on training gives a default for is a field of the spec."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    table = page.partition("## Defaults and their sources")[2].partition("## The two loops")[0]
    named = {
        name for row in re.findall(r"^\|([^|]*)\|", table, flags=re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }

    assert named - set(RunSpec.model_fields) == set()
    assert len(named) > 8


def test_binder_asks_for_what_there_is() -> None:
    """The files and extras that a Binder machine installs are this project's."""
    words = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    files, extras = re.findall(r"-r (\S+)", words), re.findall(r"\.\[([\w,]+)\]", words)

    assert files
    assert all((ROOT / file).is_file() for file in files)
    assert set(extras[0].split(",")) <= set(project["optional-dependencies"])
