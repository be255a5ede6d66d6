"""One job of training from first phase to outcome. The trainer's outermost boundary: whatever goes wrong leaves as a typed failure."""

from __future__ import annotations

import argparse
import logging
import os
import time
import warnings
from pathlib import Path
from typing import IO

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.system import try_lock
from peft_studio.runner.trainer.channel import Channel
from peft_studio.runner.trainer.loading import collecting_later
from peft_studio.runner.trainer.monitor import Monitor
from peft_studio.runner.trainer.world import leave_world, read_world

LOCK_POLL_S = 0.1


def train_main(argv: list[str]) -> int:
    """Train one run; events go to standard output. Exit status 0 when an outcome was sent, also a failed one.

    Of several processes (see ``world``) rank 0 speaks. Another says only how it failed, if it did, and its exit status is then 1.
    """
    parser = argparse.ArgumentParser(prog="train")
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--from-step", type=int, default=0)
    parser.add_argument("--strategy", choices=("single", "ddp", "fsdp"), default="single")
    arguments = parser.parse_args(argv)
    world = read_world()
    channel = Channel()
    channel.listen()
    _quieten()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    folder = RunFolder(arguments.run_folder.resolve())
    monitor, spec = Monitor(channel, speaks=world.leads), None
    try:
        if world.leads:
            alone = wait_until_alone(folder, channel)
            if alone is None:
                channel.send(ev.Finished(state="stopped"))
                return 0
            monitor.metrics = MetricsWriter(folder.metrics)
        spec = folder.load_spec()
        # Imported here, so that a broken installation is a failure of the run, with its trace, and not a silent death.
        with collecting_later():
            from peft_studio.runner.trainer.late_compile import load_bitsandbytes

            load_bitsandbytes()
            from peft_studio.runner.trainer.job import Job

        outcome = Job(
            folder, spec, monitor, from_step=arguments.from_step, world=world, strategy=arguments.strategy
        ).run()
    except Exception as error:  # noqa: BLE001  the boundary: everything becomes a typed failure
        from peft_studio.runner.trainer.problems import explain_failure

        outcome = ev.Finished(state="failed", failure=explain_failure(error, spec, step=monitor.step or None))
    if world.leads or outcome.failure:
        channel.send(outcome)
    if not outcome.failure:
        leave_world()  # after a failure the others may be stuck, and so would this
    return int(bool(outcome.failure) and not world.leads)


def wait_until_alone(folder: RunFolder, channel: Channel) -> IO[bytes] | None:
    """Hold the run's trainer lock, waiting for the trainer of a lost job: it ends by itself after its current step.

    Returns:
        The lock, held while it is open; None when a stop was asked for, or the agent went, meanwhile.
    """
    lock = folder.trainer_lock.open("a+b")
    while not try_lock(lock):
        if channel.stop_requested.is_set() or channel.orphaned.is_set():
            lock.close()
            return None
        time.sleep(LOCK_POLL_S)
    return lock


def _quieten() -> None:
    """Keep libraries' progress bars and notes to their own developers out of the run's log; warnings of substance stay."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TQDM_DISABLE"] = "1"
    # bitsandbytes asks for a kernel to be installed that we do without: see load.keep_as_stored.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
