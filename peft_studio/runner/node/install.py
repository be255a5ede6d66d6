"""Sees to it that a Python of this machine has exactly what training needs, and writes to PS_DIR/python which one that is.

Where the machine's own has every version of the lock, nothing is installed. Else a new environment gets the lock's wheels, each held
against its digest; nothing is built, nothing resolved, and no code of a package runs before that. Standard library only.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import venv
from importlib import metadata, util
from pathlib import Path

LOCKS = Path(__file__).parent / "locks"
OF_TORCH = ("nvidia-", "cuda-", "triton")  # torch's own wheel names these; another build of the same torch has others


def main() -> int:
    """Install, if need be."""
    base = Path(os.environ["PS_DIR"])
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        print(
            f"This machine has Python {platform.python_version()}; 3.11 to 3.13 is needed. Rent one with a newer image."
        )
        return 1
    lock = LOCKS / f"linux-{platform.machine()}-{sys.version_info[0]}.{sys.version_info[1]}.txt"
    if not lock.is_file():
        print(f"There is no lock for {platform.system()} on {platform.machine()}.")
        return 1
    missing = find_missing(lock.read_text())
    python = Path(sys.executable)
    if missing:
        print(f"{len(missing)} packages differ from the lock, such as {missing[0]}: installing.", flush=True)
        python = build_environment(base / "venv", lock)
    aside = base / ".python"
    aside.write_text(str(python))
    aside.replace(base / "python")
    return 0


def find_missing(lock: str) -> list[str]:
    """Packages that this Python has not, or in another version. A local build such as ``2.13.0+cpu`` is its version."""
    pins = [line.split()[0] for line in lock.splitlines() if line and not line.startswith("#")]
    return [pin for pin in pins if not pin.startswith(OF_TORCH) and _version(pin.split("==")[0]) != pin.split("==")[1]]


def build_environment(folder: Path, lock: Path) -> Path:
    """A new environment with exactly the lock; returns its Python."""
    own_pip = util.find_spec("pip") is not None  # Debian's Python may have pip and no ensurepip
    venv.create(folder, clear=True, symlinks=True, with_pip=not own_pip)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)] if own_pip else [str(python), "-m", "pip"]
    subprocess.run(
        [*pip, "install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-cache-dir", "--progress-bar", "off",
         "--disable-pip-version-check", "--no-input", "-r", str(lock)],
        check=True,
    )  # fmt: skip
    return python


def _version(name: str) -> str | None:
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.SubprocessError) as exc:
        sys.exit(f"What training needs could not be installed: {exc}")
