"""One job of training from first phase to outcome. The trainer's outermost boundary: whatever goes wrong leaves as a typed failure."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import IO

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.system import try_lock
from peft_studio.runner.trainer.channel import Channel
from peft_studio.runner.trainer.monitor import Monitor

LOCK_POLL_S = 0.1


def train_main(argv: list[str]) -> int:
    """Train one run; events go to standard output. Exit status 0 when an outcome was sent, also a failed one."""
    parser = argparse.ArgumentParser(prog="train")
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--from-step", type=int, default=0)
    arguments = parser.parse_args(argv)
    rank = int(os.environ.get("RANK", "0"))
    channel = Channel(speaks=rank == 0)
    if rank == 0:
        channel.listen()  # torchrun hands its standard input down, so this is the agent's line there too
    _quieten()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    folder = RunFolder(arguments.run_folder.resolve())
    monitor, spec = Monitor(channel), None
    try:
        if rank == 0:
            alone = wait_until_alone(folder, channel)
            if alone is None:
                channel.send(ev.Finished(state="stopped"))
                return 0
            monitor.metrics = MetricsWriter(folder.metrics)
        spec = folder.load_spec()
        # Imported here, so that a broken installation is a failure of the run, with its trace, and not a silent death.
        from peft_studio.runner.trainer.late_compile import load_bitsandbytes

        load_bitsandbytes()
        from peft_studio.runner.trainer.job import Job

        outcome = Job(folder, spec, monitor, from_step=arguments.from_step).run()
    except Exception as error:  # noqa: BLE001  the boundary: everything becomes a typed failure
        from peft_studio.runner.trainer.problems import explain_failure

        outcome = ev.Finished(state="failed", failure=explain_failure(error, spec, step=monitor.step or None))
    if rank and outcome.failure:  # only rank 0 speaks; a status other than 0 makes torchrun end the others too
        print(outcome.failure.trace, file=sys.stderr)
        return 1
    channel.send(outcome)
    return 0


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
