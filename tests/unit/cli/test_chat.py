"""How adapters are named on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio.cli.chat import _doubts_said, parse_adapter
from peft_studio.cli.terminal import Terminal
from peft_studio.core.chat.joining import warn_of
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


def test_a_doubt_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """An adapter that may be of another base is said on standard error as a person says it, each time; answers stay clean."""
    with _doubts_said(Terminal()):
        for _ in range(2):
            warn_of("json", "it names /far/away \x1b[2J")
    said = capsys.readouterr()

    assert said.out == ""
    assert said.err.count("peft-studio: The adapter 'json' may be one of another base: it names /far/away") == 2
    assert "\x1b" not in said.err
    assert ".py" not in said.err


def test_a_missing_adapter_is_said_before_a_base_is_fetched(tmp_path: Path) -> None:
    """A folder that is not there is told at once, and nothing of the model has been prepared."""
    done = peft_studio("chat", "smollm2-135m", "--adapter", str(tmp_path / "nowhere"), home=tmp_path / "home")

    assert done.returncode == 1
    assert "is no adapter" in done.stderr
    assert not list((tmp_path / "home").glob("models/*"))
