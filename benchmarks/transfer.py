"""Downloads of a large file: ours against huggingface_hub's own, from the same hub on this machine, and what a SIGKILL costs each.

    python benchmarks/transfer.py [--size-mb 2000] [--rounds 3] [--dir FOLDER]

The hub is ``tests/emulators/hub`` in a process of its own; it sends the file with ``sendfile``, so that it takes little of the machine.
Each download runs in a process of its own, the two in turn, and each round begins with no copy of the file. Speed: seconds of the call
alone, imports not counted, by the best round and by the median. Ours checks the SHA-256 and makes every 16 MiB durable meanwhile; huggingface_hub does
neither. huggingface_hub runs with HF_HUB_DISABLE_XET=1: nobody can run Xet's storage here. Waste: each is killed about half-way and
asked again; it is what its partial file held at the kill, less what the second try did not ask for again. Goal: 0.9× its speed or
better, 8 MiB of waste or less.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPEED_GOAL, WASTE_GOAL_BYTES = 0.9, 8 * 2**20
REPO = "org/large"

SERVE = """
import json, sys
from pathlib import Path
from tests.emulators.hub import Hub, Repo, Stored, serve_hub
hub = Hub(repos=[Repo("REPO", {"config.json": b"{}", "model.safetensors": Stored(Path(sys.argv[1]))})])
hub.repos[0].files["model.safetensors"].sha256
with serve_hub(hub) as address:
    print(address, flush=True)
    for line in sys.stdin:
        print(json.dumps({"spans": hub.spans, "unknown": hub.unknown}), flush=True)
        hub.spans.clear()
"""
OURS = """
import os, sys, time
from pathlib import Path
from peft_studio.connectors.huggingface.connector import HuggingFace
from peft_studio.core.ports import Order
hub, folder = HuggingFace({}), Path(sys.argv[1])
began = time.perf_counter()
details = hub.get_model("REPO")
hub.fetch_artifact(Order("REPO", details.files, folder, details.revision))
print(time.perf_counter() - began)
"""
THEIRS = """
import sys, time
from huggingface_hub import snapshot_download
from huggingface_hub.utils import disable_progress_bars
disable_progress_bars()
began = time.perf_counter()
snapshot_download("REPO", cache_dir=sys.argv[1])
print(time.perf_counter() - began)
"""
CODE = {"PEFT Studio": OURS, "huggingface_hub": THEIRS}


class HubProcess:
    """The emulated hub, in a process of its own."""

    def __init__(self, file: Path) -> None:
        argv = [sys.executable, "-c", SERVE.replace("REPO", REPO), str(file)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout
        self.address = self._process.stdout.readline().strip()

    def take_spans(self) -> list[list[int]]:
        """What was asked of the large file since the last time."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        assert told["unknown"] == [], told["unknown"]
        return list(told["spans"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def start(who: str, folder: Path, address: str) -> subprocess.Popen[str]:
    """Begin a download in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env = {
        **kept,
        "HF_ENDPOINT": address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(folder / "home"),
    }
    argv = [sys.executable, "-c", CODE[who].replace("REPO", REPO), str(folder)]
    return subprocess.Popen(argv, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def download_s(who: str, folder: Path, address: str) -> float:
    """Seconds of one whole download."""
    process = start(who, folder, address)
    told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{who} failed")
    return float(told)


def partial_bytes(folder: Path) -> int:
    """Size of the largest file that is not finished."""
    sizes = [path.stat().st_size for pattern in ("*.part", "*.incomplete") for path in folder.rglob(pattern)]
    return max(sizes, default=0)


def measure_waste(who: str, folder: Path, hub: HubProcess, size: int) -> tuple[int, int]:
    """Kill a download about half-way and ask again; bytes on disk at the kill, and those of them that travelled again."""
    process = start(who, folder, hub.address)
    while partial_bytes(folder) < size // 2 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = partial_bytes(folder)
    if not held:
        raise SystemExit(f"{who} was done before it was killed: take a larger --size-mb")
    hub.take_spans()
    download_s(who, folder, hub.address)
    asked = sum(last + 1 - first for first, last in hub.take_spans())
    return held, asked - (size - held)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size-mb", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", help="where files are put, else where the system puts what is temporary")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="transfer-", dir=args.dir) as name:
        file = Path(name) / "file"
        with file.open("wb") as out:
            for _ in range(args.size_mb):
                out.write(os.urandom(10**6))
        size = file.stat().st_size
        hub = HubProcess(file)
        try:
            return report(Path(name), hub, size, args.rounds)
        finally:
            hub.close()


def report(folder: Path, hub: HubProcess, size: int, rounds: int) -> int:
    """Measure and print; 0 where both goals are met."""
    took: dict[str, list[float]] = {who: [] for who in CODE}
    for _ in range(rounds):
        for who, times in took.items():
            with tempfile.TemporaryDirectory(dir=folder) as fresh:
                times.append(download_s(who, Path(fresh), hub.address))
    hub.take_spans()
    best = {who: min(times) for who, times in took.items()}
    for who in CODE:
        print(
            f"{who:16} {size / best[who] / 1e6:6.0f} MB/s  ({', '.join(f'{t:.2f}' for t in took[who])} s for {size / 1e6:,.0f} MB)"
        )
    middle = {who: statistics.median(times) for who, times in took.items()}
    ratios = [each["huggingface_hub"] / each["PEFT Studio"] for each in (best, middle)]
    ratio = min(ratios)
    print(
        f"speed: {ratios[0]:.2f}x of huggingface_hub by the best rounds, {ratios[1]:.2f}x by the medians (goal {SPEED_GOAL}x for both)"
    )
    wasted = {}
    for who in CODE:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            held, wasted[who] = measure_waste(who, Path(fresh), hub, size)
        print(f"{who:16} killed with {held / 1e6:,.0f} MB on disk: {wasted[who] / 1e6:,.1f} MB of it travelled again")
    ours = wasted["PEFT Studio"]
    print(f"waste: {ours / 2**20:.1f} MiB (goal {WASTE_GOAL_BYTES / 2**20:.0f} MiB)")
    return 0 if ratio >= SPEED_GOAL and ours <= WASTE_GOAL_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
