"""Writes the locks that a rented machine installs from: ``python requirements/lock.py``, after ``pin.py``. Asks the registry for each pin.

One file a Python, for Linux on x86-64: every package of train.txt and torch with all that its wheel needs, each with the digest of its
wheel. torch is the registry's own build, which has CUDA; where this machine prefers a CPU build, the lock does not.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCKS = HERE.parent / "peft_studio" / "runner" / "node" / "locks"
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = ["linux_x86_64", *(f"manylinux{year}_x86_64" for year in (1, 2010, 2014))] + [
    f"manylinux_2_{minor}_x86_64" for minor in range(5, 36)
]
BUILDERS = {
    "hatchling",
    "editables",
    "trove-classifiers",
    "pathspec",
    "pluggy",
}  # build this project; no run needs them


def main() -> None:
    """Write a lock for each Python."""
    LOCKS.mkdir(exist_ok=True)
    for python in PYTHONS:
        lines = [f"{name}=={version} --hash=sha256:{digest}" for name, version, digest in resolve(python)]
        head = f"# Linux x86-64, Python {python}. Made by `python requirements/lock.py` from requirements/train.txt and torch.txt.\n"
        (LOCKS / f"linux-x86_64-{python}.txt").write_text(head + "\n".join(lines) + "\n")
        print(python, len(lines))


def resolve(python: str) -> list[tuple[str, str, str]]:
    """Name, version and digest of every wheel that pip would install, by name."""
    pins = [line for file in ("train.txt", "torch.txt") for line in (HERE / file).read_text().splitlines()]
    wanted = [pin for pin in pins if pin and not pin.startswith("#") and pin.partition("==")[0] not in BUILDERS]
    options = [option for platform in PLATFORMS for option in ("--platform", platform)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary", ":all:",
             "--implementation", "cp", "--python-version", python, *options, "--target", folder, "--report", str(report), *wanted],
            check=True, env={**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_CONSTRAINT": ""},
        )  # fmt: skip
        found = json.loads(report.read_text())["install"]
    return sorted(
        (
            re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(),
            item["metadata"]["version"],
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in found
    )


if __name__ == "__main__":
    main()
