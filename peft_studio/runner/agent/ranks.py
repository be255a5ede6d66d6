"""The training processes of one job: one, or several on this machine that train together. Rank 0 has the word.

Several are started with torch's own environment; where other machines have their share of them (``PEFT_STUDIO_MACHINES``), only ours are, and a
file says what the others are to be started with. They need each other at every step, so when one ends before its time the others are ended too,
and who went first, and how, is kept for the report.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peft_studio.core.runs.events import Failure, Finished, parse_event
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.system import end_process_tree, write_aside
from peft_studio.runner.agent.trainer_process import TrainerProcess

GRACE_S = 10.0  # for the others to say what they have to, and to end by themselves
LOOPBACK = "127.0.0.1"
MACHINES, ADDRESS = "PEFT_STUDIO_MACHINES", "PEFT_STUDIO_ADDRESS"


@dataclass(frozen=True, slots=True)
class Ending:
    """How the processes ended. ``status``: of rank 0, or of the one ``culprit`` that ended first and not well, with what it said of it."""

    status: int
    processes: int = 1
    culprit: int | None = None
    failure: Failure | None = None


class Ranks:
    """One execution of the trainer. Call :meth:`run` once; :meth:`stop` may come from the same event loop meanwhile."""

    def __init__(self, folder: RunFolder, *, from_step: int, processes: int = 1, strategy: str = "single") -> None:
        arguments = ["--from-step", str(from_step)]
        if processes > 1:
            arguments += ["--strategy", strategy]
        everybody = build_environments(processes)
        self._ours = [one for one in everybody if int(one.get("GROUP_RANK", "0")) == 0]
        self._others = {"arguments": arguments, "environments": everybody[len(self._ours) :]}
        self._aside = folder.others
        self._all = [TrainerProcess(folder, arguments=arguments, environment=one) for one in self._ours]
        self._first_bad: int | None = None
        self._failures: dict[int, Failure] = {}

    @property
    def pids(self) -> list[int]:
        """Of those that were started."""
        return [one.pid for one in self._all if one.pid is not None]

    async def start(self, *, keep_open: int) -> None:
        """Start all of them that are ours; ``keep_open`` as for one."""
        if self._others["environments"]:
            write_aside(self._aside, json.dumps(self._others).encode())
        for one in self._all:
            await one.start(keep_open=keep_open)

    async def run(self, *, on_event: Callable[[dict[str, Any]], None], on_line: Callable[[str], None]) -> Ending:
        """Pass on what rank 0 says, and everybody's log lines, until all have ended."""
        await asyncio.gather(*(self._run_one(rank, on_event, on_line) for rank in range(len(self._all))))
        causes = [rank for rank, failure in sorted(self._failures.items()) if failure.code != "rank_lost"]
        culprit = causes[0] if causes else self._first_bad
        status = self._all[culprit or 0].status
        assert status is not None
        return Ending(status, len(self._all), culprit, self._failures.get(culprit) if culprit else None)

    def stop(self, *, save: bool) -> None:
        """Ask for a stop after the current step, keeping what was learned; without ``save`` end them now."""
        for one in self._all[:1] if save else self._all:  # rank 0 tells the others
            one.stop(save=save)

    async def _run_one(
        self, rank: int, on_event: Callable[[dict[str, Any]], None], on_line: Callable[[str], None]
    ) -> None:
        def hear(raw: dict[str, Any]) -> None:
            event = parse_event(raw) if rank else None
            if isinstance(event, Finished) and event.failure:
                self._failures[rank] = event.failure

        def line(text: str) -> None:
            on_line(f"[{rank}] {text}" if rank else text)

        status = await self._all[rank].run(on_event=hear if rank else on_event, on_line=line)
        if (status or rank == 0) and len(self._all) > 1:
            if status and self._first_bad is None:
                self._first_bad = rank
            await self._end_others(rank)

    async def _end_others(self, rank: int) -> None:
        """Once one has gone the rest have nothing to wait for, though a collective may wait for it: NCCL's for half an hour."""
        deadline = asyncio.get_running_loop().time() + GRACE_S
        others = [one for number, one in enumerate(self._all) if number != rank]
        while any(one.status is None for one in others) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        for one in others:
            if one.pid is not None and one.status is None:
                await asyncio.to_thread(end_process_tree, one.pid, grace_s=1.0)


def build_environments(processes: int) -> list[dict[str, str]]:
    """What each is started with beside its agent's own environment; nothing for one alone. ``GROUP_RANK`` is the machine's number, as torchrun has it."""
    if processes == 1:
        return [{}]
    machines, address = count_machines(), os.environ.get(ADDRESS, LOOPBACK)
    each = processes // machines
    threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // each))}
    port = _find_port(address)
    return [
        {
            "RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank % each), "LOCAL_WORLD_SIZE": str(each),
            "GROUP_RANK": str(rank // each), "MASTER_ADDR": address, "MASTER_PORT": str(port), **threads,
        }
        for rank in range(processes)
    ]  # fmt: skip


def count_machines() -> int:
    """How many, each like this one, train a job together."""
    return int(os.environ.get(MACHINES, "1"))


def _find_port(address: str) -> int:
    """A free one. Whoever takes it before rank 0 does makes the job fail with the port's number."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
