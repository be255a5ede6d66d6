"""How adapters are named on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio.cli.chat import parse_adapter
from peft_studio.core.errors import RunNotFound, RunStateError, StudioError
from tests.unit.cli.homes import COMPLETED, LOST, peft_studio, write_home


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(home=write_home(tmp_path / "home"))


@pytest.mark.parametrize(
    ("text", "name", "place"),
    [
        ("json=adapters/one", "json", "adapters/one"),
        ("adapters/one", "tuned", "adapters/one"),
        ("json=a=b", "json", "a=b"),
    ],
)
def test_folders(text: str, name: str, place: str, studio: Studio) -> None:
    """NAME=FOLDER is taken apart at the first equals sign; a folder alone is called tuned."""
    assert parse_adapter(studio, text) == (name, Path(place))


def test_runs(studio: Studio) -> None:
    """A run's id stands for its adapter, with or without a name."""
    path = studio.run(COMPLETED).adapter.path

    assert parse_adapter(studio, COMPLETED) == ("tuned", path)
    assert parse_adapter(studio, f"json={COMPLETED}") == ("json", path)


def test_runs_without_adapter(studio: Studio) -> None:
    """A run that has none, and one that is not there, are errors that say so."""
    with pytest.raises(RunStateError, match="no adapter"):
        parse_adapter(studio, LOST)
    with pytest.raises(RunNotFound):
        parse_adapter(studio, "r-20200101-000000-ffffff")


@pytest.mark.parametrize("text", ["=x", "json="])
def test_half_a_name(text: str, studio: Studio) -> None:
    """Half of NAME=FOLDER is an error that shows the whole."""
    with pytest.raises(StudioError, match="names no adapter"):
        parse_adapter(studio, text)


def test_wrong_model_is_a_message(tmp_path: Path) -> None:
    """A model that is not there ends the command with what to do, before any process is started."""
    done = peft_studio("chat", "./no-such-model", home=tmp_path)

    assert done.returncode == 1
    assert "→" in done.stderr
    assert "Traceback" not in done.stderr
