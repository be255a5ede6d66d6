"""Which notebooks JupyterLab is opened on, and with what."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio.cli import lab


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module as an installed wheel has it: two notebooks beside the code, and no checkout."""
    shipped = tmp_path / "site" / "notebooks"
    shipped.mkdir(parents=True)
    for name in ("00-quickstart.ipynb", "01-more.ipynb"):
        (shipped / name).write_text(f"shipped {name}", encoding="utf-8")
    monkeypatch.setattr(lab, "SHIPPED", shipped)
    monkeypatch.setattr(lab, "OWN", tmp_path / "nowhere" / "notebooks")
    monkeypatch.setattr(lab, "SIDEBAR", tmp_path / "nowhere" / "labextensions")
    return shipped


def test_a_checkout_opens_its_own_notebooks(tmp_path: Path) -> None:
    """Not copies: what is saved there is the repository's."""
    folder = lab.find_notebooks(tmp_path)

    assert (folder / lab.FIRST).is_file()
    assert folder.parent == lab.CHECKOUT
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_copies_its_notebooks_and_overwrites_none(tmp_path: Path, wheel: Path) -> None:
    """What the user has changed stays as it is; what is missing is copied again."""
    place = tmp_path / "my work"
    place.mkdir()
    copies = lab.find_notebooks(place)
    assert [path.name for path in sorted(copies.iterdir())] == ["00-quickstart.ipynb", "01-more.ipynb"]
    (copies / "00-quickstart.ipynb").write_text("mine", encoding="utf-8")
    (copies / "01-more.ipynb").unlink()

    assert lab.find_notebooks(place) == copies == place / "peft-studio-notebooks"
    assert (copies / "00-quickstart.ipynb").read_text(encoding="utf-8") == "mine"
    assert (copies / "01-more.ipynb").read_text(encoding="utf-8") == "shipped 01-more.ipynb"


def test_what_the_user_gives_comes_last(tmp_path: Path, wheel: Path) -> None:
    """JupyterLab takes the last of two, so that an option of the user's wins; a wheel names no sidebar folder."""
    command = lab.build_command(tmp_path / "peft-studio-notebooks", ["--ServerApp.root_dir=/elsewhere"])

    assert command[-1] == "--ServerApp.root_dir=/elsewhere"
    assert f"--ServerApp.root_dir={tmp_path}" in command
    assert "--LabApp.default_url=/lab/tree/peft-studio-notebooks/00-quickstart.ipynb" in command
    assert not any("labextensions" in part for part in command)


def test_the_way_to_jupyterlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout names its own target, which is there; an installed wheel the extra."""
    makefile = (lab.CHECKOUT / "Makefile").read_text(encoding="utf-8")
    assert lab.get_way().startswith("make lab, in ")
    assert "\nlab: " in makefile

    monkeypatch.setattr(lab, "CHECKOUT", tmp_path)
    assert lab.get_way() == "pip install 'peft-studio[notebook]'"
