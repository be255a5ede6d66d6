"""The life of one job of a run, from the place in the line to the last event."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from peft_studio.core.errors import SpecError
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import discard_after
from peft_studio.core.runs.failures import build_failure
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.runs.state import HEARTBEAT_S
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import try_lock
from peft_studio.runner.agent.hung import CODE, HungBrake, run_unless_hung
from peft_studio.runner.agent.idle import IdleBrake
from peft_studio.runner.agent.journal import Journal
from peft_studio.runner.agent.layout import take_devices
from peft_studio.runner.agent.model_errand import ModelErrand, read_door_gifts
from peft_studio.runner.agent.ranks import Ranks
from peft_studio.runner.agent.server import AgentServer
from peft_studio.runner.agent.slots import Slot
from peft_studio.runner.agent.verdict import judge, say_kept
from peft_studio.runner.agent.vitals import SAMPLE_S, Vitals

LOCK_WAIT_S = 30.0  # a reader that asks who lives may hold the lock for an instant
WORDS = 500  # of a warning, in characters
LINGER_S = 20.0  # clients get this long to read the last event; less than LOCK_WAIT_S, or a resume could not start


class Agent:
    """Supervises one job. Owns the journal; the only place that decides how a job ended."""

    def __init__(self, folder: RunFolder, *, from_step: int, given: dict[str, str] | None = None) -> None:
        """``given``: the hub's token, where the base model does not come without one; see :class:`ModelErrand`."""
        self._folder = folder
        self._spec: RunSpec = folder.load_spec()
        self._from_step = from_step
        self._journal = Journal(folder)
        self._server = AgentServer(folder, self._journal, self._take_command)
        self._ranks: Ranks | None = None
        self._errand = ModelErrand(folder, self._spec, given) if given and given.get("HF_TOKEN") else None
        self._stopped = asyncio.Event()
        self._outcome: ev.Finished | None = None
        self._vitals: Vitals | None = None
        self._hung = HungBrake(self._journal, folder)
        self._idle = IdleBrake(self._journal, lambda: self._stop(save=True))

    async def run(self) -> None:
        """Carry the job from start to its last event."""
        discard_after(self._folder.checkpoints, self._from_step)
        self._folder.agent.unlink(missing_ok=True)  # a killed agent has left its address
        self._journal.append(ev.JobStarted(pid=os.getpid(), from_step=self._from_step))
        await self._server.start()
        beating = asyncio.create_task(self._beat())
        slot = Slot(self._folder.home, device=self._spec.basis.device, run_id=self._folder.id)
        try:
            self._journal.append(ev.PhaseEntered(phase="queued"))
            if await self._turn_comes(slot):
                self._journal.append(ev.Environment(facts=_environment()))
                finished = await self._supervise(slot)
            else:
                finished = ev.Finished(state="stopped")
        finally:
            slot.leave()
        self._journal.append(finished)
        await self._server.stop(grace_s=LINGER_S)
        beating.cancel()
        self._journal.close()

    async def _turn_comes(self, slot: Slot) -> bool:
        """Wait for the device; False when somebody stopped the run first."""
        waiting, stopped = asyncio.create_task(slot.wait()), asyncio.create_task(self._stopped.wait())
        await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()  # raises what the waiting raised: without the device nothing may start
        waiting.cancel()
        stopped.cancel()
        return not self._stopped.is_set()

    async def _bring_model(self, errand: ModelErrand) -> ev.Finished | None:
        """Have the base model brought; an end of the job where it did not come, or somebody stopped the run."""
        self._journal.append(ev.PhaseEntered(phase="downloading", detail=self._spec.model))
        await errand.start()
        self._vitals = Vitals(errand.pid)
        said = functools.partial(self._journal.log, "info", source="trainer")
        coming, stopped = asyncio.create_task(errand.run(say=said)), asyncio.create_task(self._stopped.wait())
        await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not coming.done():
            await asyncio.to_thread(errand.stop)
        await coming
        if self._stopped.is_set():
            return ev.Finished(state="stopped")
        if errand.error is None:
            return None
        code, message, hint = errand.error
        return ev.Finished(state="failed", failure=build_failure(code, message, spec=self._spec, hint=hint))

    async def _supervise(self, slot: Slot) -> ev.Finished:
        if self._errand and (ended := await self._bring_model(self._errand)):
            return ended
        try:
            taken = await asyncio.to_thread(take_devices, self._spec, self._folder.home)
        except SpecError as error:
            failure = build_failure("not_supported_here", error.message, spec=self._spec, hint=error.hint)
            return ev.Finished(state="failed", failure=failure)
        self._journal.append(taken)
        ranks = Ranks(self._folder, from_step=self._from_step, processes=taken.processes, strategy=taken.strategy)
        await ranks.start(keep_open=slot.fileno())
        self._ranks, self._vitals = ranks, Vitals(*ranks.pids)
        if request := self._journal.state.stop_requested:  # it came while the process was being made
            self._stop_trainer(save=request.save)
        running = asyncio.create_task(ranks.run(on_event=self._take_event, on_line=self._take_line))
        ending = await run_unless_hung(running, self._hung, lambda: ranks.stop(save=False))
        if self._hung.why and self._outcome is None:
            why = f"{self._hung.why}{say_kept(self._journal.state)}"
            failure = build_failure(CODE, why, spec=self._spec, step=self._journal.last_step or None)
            return ev.Finished(state="failed", failure=failure)
        peak_bytes = self._vitals.peak_rss_bytes if self._vitals else 0
        return judge(self._outcome, ending, state=self._journal.state, folder=self._folder, spec=self._spec, peak_bytes=peak_bytes)  # fmt: skip

    def _take_event(self, raw: dict[str, Any]) -> None:
        event = ev.parse_event(raw)
        self._hung.watch.hear()
        if isinstance(event, ev.Finished):
            self._outcome = event  # not logged yet: the agent checks it first
        elif isinstance(event, ev.Doing):
            self._hung.take_doing(event.what)
        else:
            if isinstance(event, ev.PhaseEntered):
                self._hung.take_phase(event.phase)
            self._journal.append(event)

    def _take_line(self, text: str) -> None:
        self._hung.watch.hear()
        lowered = text.lower()
        level: ev.Level = (
            "error" if lowered.startswith(("error", "traceback")) else "warning" if "warning" in lowered else "info"
        )
        self._journal.log(level, text, source="trainer")

    def _take_command(self, command: dict[str, object]) -> str | None:
        if command["command"] == "warn":
            return self._warn(command)
        if command["command"] != "stop":
            return f"Unknown command {command['command']!r}; this agent knows 'stop' and 'warn'."
        self._stop(save=bool(command.get("save", True)))
        return None

    def _warn(self, command: dict[str, object]) -> str | None:
        """Put down what whoever looks after the machine has to say; he may not write here himself. Once is enough."""
        code, message, hint = (str(command.get(name, ""))[:WORDS] for name in ("code", "message", "hint"))
        state = self._journal.state
        if not code or not message:
            return "A warning has a code and a message."
        if all((one.code, one.job) != (code, state.job) for one in state.warnings):
            self._journal.append(ev.Warned(code=code, step=self._journal.last_step, message=message, hint=hint))
        return None

    def _stop(self, *, save: bool) -> None:
        self._journal.append(ev.StopRequested(save=save))
        self._stopped.set()
        if self._ranks:
            self._stop_trainer(save=save)

    def _stop_trainer(self, *, save: bool) -> None:
        ranks = self._ranks
        assert ranks
        if save:
            ranks.stop(save=True)
        else:  # waits for the processes to end
            asyncio.get_running_loop().run_in_executor(None, lambda: ranks.stop(save=False))

    async def _beat(self) -> None:
        """Signs of life and vitals, for as long as the agent runs."""
        system = MetricsWriter(self._folder.system)
        sampled_at = beat_at = 0.0
        while True:
            now = time.monotonic()
            if now - beat_at >= HEARTBEAT_S:
                beat_at = now
                with contextlib.suppress(OSError):
                    self._folder.heartbeat.touch()
                self._journal.index_if_due()
            if self._vitals and now - sampled_at >= SAMPLE_S:
                sampled_at = now
                figures = await asyncio.to_thread(self._vitals.sample)
                with contextlib.suppress(OSError):  # a full disk: the trainer meets it too, and says so
                    system.log(0, **figures)
                self._idle.take(figures)
                if self._ranks:
                    self._hung.take(figures, now, self._vitals)
            await asyncio.sleep(0.5)


def _environment() -> dict[str, str | int | float | None]:
    from importlib import metadata

    packages = ("peft-studio", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "tokenizers")
    found: dict[str, str | int | float | None] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
    }
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def agent_main(argv: list[str]) -> int:
    """Supervise one run; returns when the job has ended. Exit status 3: another agent has the run; 4: what it was to be given did not come."""
    parser = argparse.ArgumentParser(prog="agent")
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--from-step", type=int, default=0)
    parser.add_argument("--given", action="store_true", help="what the run was given stands on standard input")
    arguments = parser.parse_args(argv)
    given = read_door_gifts(sys.stdin.read()) if arguments.given else {}
    if (
        arguments.given and not given
    ):  # its door died just then; the owner sees that nobody has the run, and has it started again
        print("What the run needs did not come.", file=sys.stderr)
        return 4
    folder = RunFolder(arguments.run_folder)
    deadline = time.monotonic() + LOCK_WAIT_S
    with folder.agent_lock.open("a+b") as lock:
        while not try_lock(lock):
            if time.monotonic() > deadline:
                print(f"Another agent has {folder.id}.", file=sys.stderr)
                return 3
            time.sleep(0.05)
        asyncio.run(_run(folder, arguments.from_step, given))
    return 0


async def _run(folder: RunFolder, from_step: int, given: dict[str, str]) -> None:
    await Agent(folder, from_step=from_step, given=given).run()
