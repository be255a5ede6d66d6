"""The driver of a run that several nodes train. Ray gives it all their places at once, or none; the first leads, as a single job does.

It travels as text beside ``job.py`` and is never imported here; it needs the cluster's own ray. The leader's agent says what the other nodes
are to start, in a file of the run; they take the run's files from the leader, piece by piece, and start their ranks with torch's own
environment. Ranks need each other at every step: when one of another node goes wrong, those of the leader are ended, and its agent says so.

    together.py MACHINES GPUS CPUS KIND        KIND: a resource of Ray's for one kind of card, or -
"""

from __future__ import annotations

import glob
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

POLL_S, GRACE_S = 0.5, 10.0
PIECE_BYTES = 4 * 2**20
SENT = ("spec.json", "data", "model", "checkpoints")
HERE = os.path.dirname(os.path.abspath(__file__))
DOOR = re.compile(r"peft-studio: its door is on port (\d+)")


class Place:
    """One node's."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.base = ""

    def lead(self, machines: int) -> tuple[str, int]:
        """Start the leader; the address of this node and the port of its door."""
        import ray

        address = ray.util.get_node_ip_address()
        self.base, port = self._start("job.py", {"PEFT_STUDIO_MACHINES": str(machines), "PEFT_STUDIO_ADDRESS": address})
        return address, port

    def ended(self) -> int | None:
        """The exit status of what runs here; None while it does."""
        return self.process.poll() if self.process else None

    def plan(self) -> dict[str, Any] | None:
        """What the other nodes are to start, as the agent said last."""
        found = glob.glob(os.path.join(self.base, "home", "runs", "*", "others.json"))
        if not found:
            return None
        with open(found[0], encoding="utf-8") as file:
            return {**json.load(file), "base": self.base, "run": os.path.basename(os.path.dirname(found[0]))}

    def list_files(self, run: str) -> list[tuple[str, str]]:
        """What another node needs: where each file stands here, and its name there."""
        with open(os.path.join(self.base, "site"), encoding="utf-8") as file:
            site = file.read()
        tops = [
            (site, "site"),
            *((os.path.join(self.base, "home", "runs", run, name), f"home/runs/{run}/{name}") for name in SENT),
        ]
        return [pair for top, name in tops for pair in _files(top, name)]

    def read(self, path: str, offset: int) -> bytes:
        """A piece of a file."""
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(PIECE_BYTES)

    def follow(self, leader: Any, plan: dict[str, Any], number: int) -> int:
        """Train with the leader; the exit status."""
        import ray

        self.base, _ = self._start("mate.py", {})
        for path, name in ray.get(leader.list_files.remote(plan["run"])):
            self._fetch(lambda *what: ray.get(leader.read.remote(*what)), path, os.path.join(self.base, name))
        environments = [one for one in plan["environments"] if one["GROUP_RANK"] == str(number)]
        assert self.process
        assert self.process.stdin
        self.process.stdin.write(json.dumps({**plan, "environments": environments}) + "\n")
        self.process.stdin.flush()
        return self.process.wait()

    def stop(self) -> None:
        """End what runs here; its guard kills what it started."""
        if self.process and self.process.stdin:
            self.process.stdin.close()
            self.process.wait()

    def drop(self) -> None:
        """End the ranks of the leader, which wait for one that is gone."""
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                if b"train" in words and any(word.startswith(self.base.encode()) for word in words):
                    os.kill(int(entry), signal.SIGKILL)
            except OSError:
                continue

    def _start(self, script: str, more: dict[str, str]) -> tuple[str, int]:
        """Start a script that lives no longer than this actor; what its first lines say."""
        self.process = subprocess.Popen(
            ["python3", os.path.join(HERE, script), "held"], env={**os.environ, **more}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self.process.stdout
        base, port = self.process.stdout.readline().strip(), 0
        if script == "job.py":
            found = DOOR.search(self.process.stdout.readline())
            port = int(found[1]) if found else 0
        threading.Thread(target=_pass_on, args=(self.process.stdout,), daemon=True).start()
        return base, port

    def _fetch(self, read: Callable[[str, int], bytes], path: str, to: str) -> None:
        os.makedirs(os.path.dirname(to), exist_ok=True)
        with open(to, "wb") as file:
            while piece := read(path, file.tell()):
                file.write(piece)
                if len(piece) < PIECE_BYTES:
                    return


def main() -> int:
    """Until the leader ends; its status."""
    import job  # it lies beside this file there
    import ray
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    machines, gpus, cpus, kind = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    ray.init(log_to_driver=True)
    bundle = {"CPU": cpus, **({"GPU": gpus} if gpus else {}), **({kind: 0.001} if kind != "-" else {})}
    group = placement_group([bundle] * machines, strategy="STRICT_SPREAD")
    print("peft-studio: waits for its nodes", flush=True)
    ray.get(group.ready())
    remote: Any = ray.remote(Place)
    first, *others = [
        remote.options(
            num_cpus=cpus, num_gpus=gpus, max_concurrency=4,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number),
        ).remote()
        for number in range(machines)
    ]  # fmt: skip
    address, port = ray.get(first.lead.remote(machines))
    job.drop_secrets()  # the leader has them by now, and this node may be another
    print(f"peft-studio: its door is on port {port} of {address}", flush=True)
    return attend(first, others)


def attend(first: Any, others: list[Any]) -> int:
    """Start the other nodes' ranks whenever the leader's agent starts its own."""
    import ray

    plan: object = None
    working: list[Any] = []
    while True:
        status = ray.get(first.ended.remote())
        if status is not None:
            return int(status)
        wanted = ray.get(first.plan.remote())
        if wanted != plan:
            plan = wanted
            ray.get([one.stop.remote() for one in others])
            working = [one.follow.remote(first, plan, number) for number, one in enumerate(others, 1)]
        done, working = ray.wait(working, num_returns=len(working), timeout=POLL_S) if working else ([], [])
        if any(ray.get(done)):
            time.sleep(GRACE_S)  # they may see it themselves, and say more
            if ray.get(first.plan.remote()) == plan:
                ray.get(first.drop.remote())
        if not working:
            time.sleep(POLL_S)


def _files(top: str, name: str) -> list[tuple[str, str]]:
    if os.path.isfile(top):
        return [(top, name)]
    found = []
    for folder, _, files in os.walk(top):
        for file in files:
            path = os.path.join(folder, file)
            found.append((path, os.path.join(name, os.path.relpath(path, top))))
    return found


def _pass_on(lines: Any) -> None:
    for line in lines:
        print(line, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
