"""What the build hook puts into the wheel, and when it builds again. Nothing here needs Node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import hatch_build


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one panel and the extension, both built after their sources were written."""
    sources = [
        hatch_build.FRONTEND / "panels/run.tsx",
        hatch_build.FRONTEND / "ui/kit.css",
        hatch_build.EXTENSION / "src/index.ts",
    ]
    built = [
        hatch_build.STATIC / "run.js",
        hatch_build.STATIC / "run.css",
        hatch_build.LABEXTENSION / "package.json",
    ]
    for at, path in enumerate(sources + built):
        write(tmp_path / path, at=1000.0 + at)
    return tmp_path


def write(path: Path, *, at: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))


def scripts_of(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What building this checkout would run."""
    ran: list[str] = []
    monkeypatch.setattr(hatch_build, "install", lambda _frontend: None)
    monkeypatch.setattr(hatch_build, "run", lambda arguments, _folder: ran.append(arguments[-1]))
    assert hatch_build.build_frontend(checkout) == bool(ran)
    return ran


def initialize(checkout: Path, version: str, *, target: str = "wheel") -> dict[str, Any]:
    """The build data after the hook has been called, as hatchling calls it."""
    build_data: dict[str, Any] = {"shared_data": {}, "force_include": {}}
    hook = hatch_build.FrontendHook(str(checkout), {}, None, None, "", target)  # type: ignore[arg-type]
    hook.initialize(version, build_data)
    return build_data


def write_lock(checkout: Path) -> None:
    write(checkout / hatch_build.FRONTEND / "package-lock.json", at=1.0)


@pytest.mark.parametrize(
    ("changed", "scripts"),
    [
        (None, []),
        (hatch_build.FRONTEND / "ui/kit.css", ["build", "build:lab"]),
        (hatch_build.EXTENSION / "src/index.ts", ["build:lab"]),
        (hatch_build.FRONTEND / "node_modules/preact/index.js", []),
    ],
)
def test_only_what_is_old_is_built(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, changed: Path | None, scripts: list[str]
) -> None:
    """The extension is made of its own sources and the panels' kit; the panels only of theirs."""
    write_lock(checkout)
    if changed:
        write(checkout / changed, at=2000.0)

    assert scripts_of(checkout, monkeypatch) == scripts


def test_what_was_never_built_is_built(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh clone builds both."""
    write_lock(checkout)
    for path in (hatch_build.STATIC / "run.css", hatch_build.LABEXTENSION / "package.json"):
        (checkout / path).unlink()

    assert scripts_of(checkout, monkeypatch) == ["build", "build:lab"]


def test_the_wheel_carries_the_extension(checkout: Path) -> None:
    """It lands where JupyterLab looks; an editable install and an sdist get no copy."""
    assert initialize(checkout, "standard")["shared_data"] == {
        str(checkout / hatch_build.LABEXTENSION): "share/jupyter/labextensions/peft-studio"
    }
    assert initialize(checkout, "editable")["shared_data"] == {}
    assert initialize(checkout, "standard", target="sdist")["shared_data"] == {}


def test_the_wheel_carries_the_notebooks(checkout: Path) -> None:
    """Beside the code, for ``peft-studio lab`` to copy; what makes them stays behind, and an editable install has its checkout."""
    for name in ("00-first.ipynb", "save.py"):
        write(checkout / hatch_build.NOTEBOOKS / name, at=1.0)
    shipped = {str(checkout / "notebooks" / "00-first.ipynb"): "peft_studio/notebooks/00-first.ipynb"}

    assert initialize(checkout, "standard")["force_include"] == shipped
    assert initialize(checkout, "editable")["force_include"] == {}
    assert initialize(checkout, "standard", target="sdist")["force_include"] == {}


def test_panels_can_be_skipped(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training from a checkout needs neither Node nor panels."""
    (checkout / hatch_build.LABEXTENSION / "package.json").unlink()
    (checkout / hatch_build.LABEXTENSION).rmdir()
    monkeypatch.setenv("PEFT_STUDIO_SKIP_PANELS", "1")

    assert initialize(checkout, "standard")["shared_data"] == {}
