"""What training needs: taken as it is where it is exact, else installed from digests and from nothing else."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from peft_studio.runner.node import install

ROOT = Path(__file__).parents[4]


def test_locks_hold_every_pin_with_its_digest() -> None:
    """A lock for each Python that we support: all of train.txt and torch, nothing twice, each with one digest."""
    pins = (ROOT / "requirements" / "train.txt").read_text() + (ROOT / "requirements" / "torch.txt").read_text()
    wanted = {line.lower().replace("_", "-").replace(".", "-") for line in pins.splitlines() if "==" in line}
    builders = {"hatchling", "editables", "trove-classifiers", "pathspec", "pluggy"}
    for python in ("3.11", "3.12", "3.13"):
        lines = (install.LOCKS / f"linux-x86_64-{python}.txt").read_text().splitlines()[1:]
        assert all(len(line.split(" --hash=sha256:")[1]) == 64 for line in lines)
        have = {line.split()[0].replace("_", "-").replace(".", "-") for line in lines}
        assert len(have) == len(lines)
        assert {pin for pin in wanted - have if pin.split("==")[0] not in builders} == set()


def test_what_is_exact_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local build of the same version is that version; another version, or none, is not; torch's companions are torch's business."""
    own = metadata.version("websockets")
    assert install.find_missing(f"# head\nwebsockets=={own} --hash=sha256:0\nnvidia-nothing==1 --hash=sha256:0\n") == []
    assert install.find_missing("websockets==0.1 --hash=sha256:0\nno-such==1 --hash=sha256:0") == [
        "websockets==0.1",
        "no-such==1",
    ]
    monkeypatch.setattr(install, "LOCKS", tmp_path)
    monkeypatch.setenv("PS_DIR", str(tmp_path))
    name = next(path.name for path in (ROOT / "peft_studio/runner/node/locks").glob("*-3.11.txt")).replace("3.11", "{}")
    version = ".".join(map(str, install.sys.version_info[:2]))
    (tmp_path / name.format(version)).write_text(f"websockets=={own} --hash=sha256:0\n")
    assert install.main() == 0
    assert (tmp_path / "python").read_text() == install.sys.executable


def test_a_wheel_with_another_digest_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right one is, into an environment that has nothing else; one byte more in it, and pip refuses."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel = tmp_path / "tiny_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny_thing.py", "VALUE = 7\n")
        file.writestr("tiny_thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        file.writestr(
            "tiny_thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr("tiny_thing-1.0.dist-info/RECORD", "")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"tiny-thing==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    python = install.build_environment(tmp_path / "venv", lock)
    done = subprocess.run([python, "-c", "import tiny_thing; print(tiny_thing.VALUE)"], capture_output=True, text=True)
    assert done.stdout == "7\n"
    with wheel.open("ab") as out:
        out.write(b"\0")
    with pytest.raises(subprocess.CalledProcessError):
        install.build_environment(tmp_path / "other", lock)
