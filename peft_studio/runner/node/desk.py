"""What a rented machine holds for its owner: files that arrive, the run's agent, how things stand. All of it on disk but the secrets.

Standard library only, Python 3.10 on: it stands in the boot script word for word. Knows no network; ``door.py`` does.

PS_DIR/phases       when each phase began, in seconds of uptime: the boot script's
PS_DIR/boot.log     what was printed
PS_DIR/site         where our package was unpacked; python: the interpreter that has what it needs
PS_DIR/start        an agent is to be started: from which step, and the names of the secrets without which it shall not be
PS_DIR/home/runs/   the run's folder, as at home
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

PART = r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,120}"
NAME = re.compile(
    rf"package\.whl|(spec|prediction)\.json|events\.jsonl|metrics|system|(checkpoints|data|model)(/{PART}){{1,9}}"
)
TOLD = ("spec.json", "events.jsonl", "metrics", "system", "checkpoints", "adapter", "agent.log")
Answer = tuple[int, dict[str, Any]]


class Desk:
    """Takes files in, starts the agent, says how things stand."""

    def __init__(self, base: Path, run: Path) -> None:
        self.base, self.run = base, run
        self.secrets: dict[str, str] = {}
        self.agent: subprocess.Popen[bytes] | None = None

    def part(self, name: str) -> Path:
        """Where a file gathers before it is whole."""
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no file that a run is given")
        folder = self.base / "arriving"
        folder.mkdir(exist_ok=True)
        return folder / hashlib.sha256(name.encode()).hexdigest()[:32]

    def become(self, name: str, digest: str) -> Answer:
        """Put a whole file in its place."""
        part, place = self.part(name), self.run / name
        if not part.exists() and place.is_file() and digest_of(place)[1] == digest:
            return 200, {"size": place.stat().st_size}  # our answer to the first time was lost
        if not part.exists() or digest_of(part)[1] != digest:
            part.unlink(missing_ok=True)
            return 422, {"error": "this is not the file whose digest was named; it was thrown away"}
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, place)
        if name == "package.whl":
            self.unpack(place, self.base / f"package-{digest[:16]}")
        return 201, {"size": place.stat().st_size}

    def unpack(self, wheel: Path, to: Path) -> None:
        """Unpack our own package, and say where it is: the boot script waits for that."""
        with zipfile.ZipFile(wheel) as file:
            if any(name.startswith("/") or ".." in name.split("/") for name in file.namelist()):
                raise ValueError("a path that leads out of the package")
            shutil.rmtree(to, ignore_errors=True)
            file.extractall(to)
        write(self.base / "site", str(to))

    def agent_lives(self) -> bool:
        """Whether an agent has the run."""
        if self.agent is not None and self.agent.poll() is None:
            return True
        try:
            with (self.run / "agent.lock").open("r+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def start_if_due(self) -> None:
        """Start the agent that was asked for, once its Python, our package and the spec are there."""
        wanted, python = self.base / "start", self.base / "python"
        if not wanted.exists() or not python.exists() or not (self.run / "spec.json").exists() or self.agent_lives():
            return
        if self.wants():
            return  # we are not the door that was given them; the owner sees it and gives them again
        command = [
            python.read_text(),
            "-m",
            "peft_studio.runner",
            "agent",
            str(self.run),
            "--from-step",
            wanted.read_text().split()[0],
            *(["--given"] if self.secrets else []),
        ]
        own = {"PYTHONPATH": (self.base / "site").read_text(), "PEFT_STUDIO_HOME": str(self.base / "home")}
        with (self.run / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(
                command, cwd=self.run, env={**os.environ, **own}, stdin=subprocess.PIPE,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        assert self.agent.stdin
        with contextlib.suppress(OSError), self.agent.stdin as given:  # by its input: no process has them in sight
            given.write(json.dumps(self.secrets).encode() if self.secrets else b"")
        wanted.unlink()

    def want(self, from_step: int, needs: list[str]) -> None:
        """An agent is to be started, from this step on, and with these secrets; one that has the run already is left alone."""
        if not self.agent_lives():
            write(self.base / "start", " ".join([str(from_step), *sorted({*needs, *self.secrets})]))

    def wants(self) -> list[str]:
        """The names of secrets for which the start of the agent waits."""
        return [name for name in read(self.base / "start").split()[1:] if name not in self.secrets]

    def find(self, name: str) -> Path | None:
        """A file that the owner may have; None where there is no such thing."""
        path = Path(os.path.realpath(self.run / name)) if "\0" not in name else self.run
        inside = path.is_relative_to(os.path.realpath(self.run)) and path.is_file()
        return path if inside and path.relative_to(os.path.realpath(self.run)).parts[0] in TOLD else None

    def status(self) -> dict[str, Any]:
        """What the owner wants to know."""
        entered = [line.split(" ", 1) for line in read(self.base / "phases").splitlines() if " " in line]
        until = [*(float(at) for at, _ in entered[1:]), uptime_s()][: len(entered)]
        phases = [
            {"name": name, "seconds": round(end - float(at), 2)} for (at, name), end in zip(entered, until, strict=True)
        ]
        lives = self.agent_lives()
        return {
            "phases": phases, "log": read(self.base / "boot.log")[-4000:].splitlines()[-40:], "agent": lives,
            "starting": (self.base / "start").exists(), "folder": str(self.run), "secrets": sorted(self.secrets), "wants": self.wants(),
            "used_s": int(read(self.base / "used") or 0), "lifetime_s": int(os.environ["PS_LIFETIME_S"]),
            "lease_s": int(os.environ["PS_LEASE_S"]), "ends_itself": bool(os.environ.get("PS_ENDS_ITSELF")),
            "free_bytes": shutil.disk_usage(self.base).free, "python": sys.version.split()[0],
        }  # fmt: skip

    def list_files(self) -> dict[str, int]:
        """What can be fetched: name → size in bytes."""
        tops = [self.run / name for name in TOLD]
        found = [path for top in tops for path in ([top] if top.is_file() else sorted(top.rglob("*")))]
        names = {path.relative_to(self.run): path for path in found if path.is_file() and not path.is_symlink()}
        return {str(name): path.stat().st_size for name, path in names.items() if "/." not in f"/{name}"}


def digest_of(path: Path) -> tuple[int, str]:
    """Size of a file, and the SHA-256 of so much of it, in hex: a file that grows meanwhile is told as it was."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = size = os.fstat(file.fileno()).st_size
        while left and (piece := file.read(min(2**20, left))):
            digest.update(piece)
            left -= len(piece)
    return size, digest.hexdigest()


def read(path: Path) -> str:
    """The text of a file; of one that is not there, none."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def write(path: Path, text: str) -> None:
    """Write a file at once: readers see all of it or nothing."""
    aside = path.with_name(f".{path.name}")
    aside.write_text(text)
    os.replace(aside, path)


def uptime_s() -> float:
    """Seconds that no step of the clock changes, as the boot script counts them."""
    return float((read(Path("/proc/uptime")) or f"{time.monotonic()}").split()[0])
