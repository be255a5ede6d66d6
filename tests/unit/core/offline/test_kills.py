"""Two real processes share an outbox and are killed at random moments, twenty times: what was acknowledged arrives, once, in order."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from peft_studio.core.offline.outbox import Outbox
from tests.unit.core.offline.conftest import KEY
from tests.unit.core.offline.post_office import deliver

SEED = 20261126
ROUNDS = 10
NAMES = ("a", "b")
ROOT = Path(__file__).resolve().parents[4]


def start(folder: Path, remote: Path, name: str, first: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.unit.core.offline.post_office", str(folder), str(remote), name, str(first)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def kill_after(process: subprocess.Popen[bytes], acknowledged: int) -> int:
    """Kill it once it has said so many numbers, wherever it is then; returns the last that it said."""
    assert process.stdout
    for _ in range(acknowledged):
        process.stdout.readline()
    process.kill()
    rest = process.stdout.read().split(b"\n")[:-1]
    process.wait()
    assert process.returncode == -9
    return int(rest[-1]) if rest else -1


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_twenty_kills_lose_and_double_nothing(memory: Path) -> None:
    """Both put in, both send all lines; each begins anew behind what was acknowledged, with the ids it would have used."""
    chance, folder, remote = random.Random(SEED), memory / "outbox", memory / "remote"
    acknowledged = dict.fromkeys(NAMES, -1)
    for _ in range(ROUNDS):
        running = {name: start(folder, remote, name, acknowledged[name] + 1) for name in NAMES}
        for name, process in running.items():
            count = chance.randint(1, 40)
            acknowledged[name] = max(acknowledged[name] + count, kill_after(process, count))
    outbox = Outbox(folder, key=KEY)
    in_doubt = sum(entry.unsure for entry in outbox.entries())
    while outbox.entries():
        deliver(outbox, remote)
    outbox.file.close()
    done = remote.read_text().splitlines()

    assert len(done) == len(set(done))
    for name in NAMES:
        for kind, rest in (("asked", 0), ("keyed", 1)):
            numbers = [int(line.rpartition("-")[2]) for line in done if line.startswith(f"{kind}:{name} ")]
            assert numbers == sorted(numbers)
            assert set(numbers) >= {n for n in range(acknowledged[name] + 1) if n % 2 == rest}
    assert sum(acknowledged.values()) > 200
    print(f"{ROUNDS * 2} kills, {len(done)} operations, {in_doubt} in doubt after the last")
