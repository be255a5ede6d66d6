"""The scaffolder and the tutorial: what they promise is done here, step by step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from peft_studio.cli.new_connector import fill, write_connector
from peft_studio.core.errors import StudioError

ROOT = Path(__file__).resolve().parents[3]
USE = """
from emulator import TOKEN, serve
from peft_studio import Studio
import os, sys
with serve() as address:
    os.environ["SHELF_URL"] = address
    studio = Studio(home=sys.argv[1])
    print(studio.connect("shelf", token=TOKEN, keep=False))
    print(*[model.id for model in studio.models("tiny")])
    print("shelf" in repr(studio.connections()))
"""


def test_the_tutorial_is_what_the_command_writes(tmp_path: Path) -> None:
    """Every block of code on the page stands in a file that was written."""
    folder = write_connector("shelf", tmp_path)
    written = "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", (ROOT / "docs" / "connectors.md").read_text(), re.DOTALL)

    assert len(blocks) == 6
    assert [block for block in blocks if block not in written] == []
    assert "{{" not in written


@pytest.mark.slow
def test_the_package_passes_its_own_suite_and_is_found(tmp_path: Path) -> None:
    """Installed as a package of its own: its suite passes, the catalog finds it, and a search asks it. Nothing of ours was changed."""
    folder, site = write_connector("shelf", tmp_path), tmp_path / "site"
    install = [
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--target",
        str(site),
        str(folder),
    ]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    env = {k: v for k, v in os.environ.items() if k != "PEFT_STUDIO_CONNECTORS"} | {
        "PYTHONPATH": f"{site}{os.pathsep}{folder / 'tests'}"
    }

    def python(*argv: str) -> str:
        done = subprocess.run([sys.executable, *argv], cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    passed = re.search(r"(\d+) passed", python("-m", "pytest", "-p", "no:cacheprovider"))
    assert passed is not None
    assert int(passed[1]) > 30
    connected, found, shown = python("-c", USE, str(tmp_path / "home")).splitlines()
    assert connected == "Shelf: connected as ann."
    assert found == "ann/tiny ann/tiny-2"
    assert shown == "True"


@pytest.mark.parametrize("name", ["", "My", "9lives", "a_b", "-a", "a-", "a--b", "../x", "a" * 33, "huggingface"])
def test_a_name_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    """And nothing is written."""
    with pytest.raises(StudioError) as caught:
        write_connector(name, tmp_path)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    """A second time is refused; the first one's files stay as they are."""
    folder = write_connector("shelf", tmp_path)
    (folder / "README.md").write_text("mine")

    with pytest.raises(StudioError, match="there already"):
        write_connector("shelf", tmp_path)
    assert (folder / "README.md").read_text() == "mine"


def test_an_unknown_name_in_a_template_is_an_error() -> None:
    """So that no file goes out with a hole in it."""
    assert fill("{{a}}-{{a}} {b}", {"a": "x"}) == "x-x {b}"
    with pytest.raises(KeyError):
        fill("{{b}}", {"a": "x"})
