"""Downloads in processes of their own: killed at random moments, and watched for the memory they take."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_for
from tests.emulators.hub import Hub, Repo, Stored, serve_hub

MIB = 2**20
SIZE = 60 * MIB
WASTE_BYTES = 8 * MIB
GROWTH_BYTES = 64 * MIB
DOWNLOAD = """
import sys
from pathlib import Path
from peft_studio.connectors.huggingface.connector import HuggingFace
from peft_studio.core.ports import Order
from peft_studio.core.system import peak_memory_bytes
hub = HuggingFace({})
details = hub.get_model("org/large")
small = tuple(file for file in details.files if file.path == "config.json")
hub.fetch_artifact(Order("org/large", small, Path(sys.argv[1]), details.revision))
before = peak_memory_bytes()
hub.fetch_artifact(Order("org/large", details.files, Path(sys.argv[1]), details.revision))
print(peak_memory_bytes() - before)
"""


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def address(hub: Hub) -> Iterator[str]:
    with serve_hub(hub) as address:
        yield address
    assert hub.unknown == hub.tokens_at_cdn == []


def offer(hub: Hub, path: Path, *, size: int, sha256: str = "") -> Stored:
    """The one large file of the hub."""
    large = Stored(path, sha256)
    assert len(large) == size
    hub.repos.append(Repo("org/large", {"config.json": b"{}", "model.safetensors": large}))
    return large


def start(address: str, folder: Path) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, str(folder)],
        env={**env, "HF_ENDPOINT": address},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_size(part: Path, size: int) -> None:
    """A part may lack what is gathered before it is written."""
    wait_for(lambda: part.exists() and part.stat().st_size >= size - MIB, "the part to grow")


def test_a_kill_wastes_little(hub: Hub, address: str, tmp_path: Path) -> None:
    """Five SIGKILLs at random places: each try goes on within 8 MiB of all that had been sent to the one before; the file is right."""
    rng = random.Random(20)
    path = tmp_path / "served"
    path.write_bytes(content := rng.randbytes(SIZE))
    large, part = offer(hub, path, size=SIZE), tmp_path / "to" / ".model.safetensors.part"
    sent_to, firsts = 0, []
    for _ in range(5):
        large.hold_at = rng.randrange(4 * MIB, SIZE // 6)
        kept = part.stat().st_size if part.exists() else 0
        process = start(address, tmp_path / "to")
        wait_for_size(part, kept + rng.randrange(2 * MIB + 1, large.hold_at))
        process.kill()
        process.wait()
        firsts.append(hub.spans[-1][0])
        assert sent_to - firsts[-1] <= WASTE_BYTES
        sent_to = large.sent_to
        assert not (tmp_path / "to" / "model.safetensors").exists()
    assert firsts == sorted(set(firsts))
    large.hold_at = None
    large.go_on.set()
    process = start(address, tmp_path / "to")
    assert process.wait(60) == 0
    assert sent_to - hub.spans[-1][0] <= WASTE_BYTES
    assert hub.spans[-1][0] > 0
    assert (tmp_path / "to" / "model.safetensors").read_bytes() == content
    assert not part.exists()


def test_memory_does_not_grow_with_the_file(hub: Hub, address: str, tmp_path: Path) -> None:
    """200 MB, of which the process that brings them and digests them holds little at any time."""
    size, path, digest = 200 * 10**6, tmp_path / "served", hashlib.sha256()
    with path.open("wb") as file:
        file.truncate(size)
    for _ in range(200):
        digest.update(bytes(10**6))
    offer(hub, path, size=size, sha256=digest.hexdigest())
    process = start(address, tmp_path / "to")
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert int(told) <= GROWTH_BYTES
    assert (tmp_path / "to" / "model.safetensors").stat().st_size == size
