"""Pictures of the Run panel in every state, in both themes and two widths: ``python -m tests.ui.run_states FOLDER``.

The runs are fixtures (see ``write_run``): their numbers follow a formula and say nothing of what training does.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.failures import build_failure
from peft_studio.core.system import try_lock
from tests.ui.lab import open_lab, show_code
from tests.ui.write_run import RunWriter, build_spec, clock_at

WIDTHS = {"wide": "880px", "narrow": "320px"}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

TRACE = """Traceback (most recent call last):
  File "peft_studio/runner/trainer/main.py", line 61, in run_job
    train(job, model, rows)
  File "peft_studio/runner/trainer/loop.py", line 118, in step
    loss.backward()
  File "torch/autograd/graph.py", line 829, in _engine_run_backward
    return Variable._execution_engine.run_backward(
torch.OutOfMemoryError: tried to allocate 1.52 GiB, 7.61 GiB total, 0.09 GiB free"""


def queued(writer: RunWriter, pause: Callable[[float], None]) -> None:
    writer.log.append(ev.JobStarted(pid=1))
    writer.phase("queued")


def training(writer: RunWriter, pause: Callable[[float], None]) -> None:
    writer.begin(pause=pause)
    writer.train(187, pause=pause)
    writer.log.append(
        ev.Warned(
            code="grad_spike", step=121, message="Gradient norm reached 12 at step 121",
            hint="The loss came back within 10 steps; nothing needs doing now. If it happens again, lower the learning rate:",
            changes={"learning_rate": 1e-4},
        )
    )  # fmt: skip


def completed(writer: RunWriter, pause: Callable[[float], None]) -> None:
    writer.begin(pause=pause)
    writer.train(300, pause=pause)
    writer.phase("evaluating"), pause(2.4)
    writer.phase("saving"), pause(1.1)
    writer.end("completed")


def failed(writer: RunWriter, pause: Callable[[float], None]) -> None:
    writer.begin(pause=pause)
    writer.train(3, pause=pause)
    writer.say("error", "torch.OutOfMemoryError: tried to allocate 1.52 GiB, 7.61 GiB total, 0.09 GiB free")
    message = "The machine ran out of memory in step 4: the batch needed 1.52 GiB and 0.09 GiB were free."
    writer.end("failed", build_failure("out_of_memory", message, spec=writer.spec, trace=TRACE, step=4))


def stale(writer: RunWriter, pause: Callable[[float], None]) -> None:
    writer.begin(pause=pause)
    writer.train(64, pause=pause)
    pause(42)  # heard 42 s ago


def lost(writer: RunWriter, pause: Callable[[float], None]) -> None:
    writer.begin(pause=pause)
    writer.train(64, pause=pause)
    pause(3 * 3600)


STATES = (queued, training, completed, failed, stale, lost)
LIVE = (queued, training, stale)


def write_states(home: Path, locks: ExitStack) -> dict[str, Path]:
    """One run folder a state. A live one has its lock held until ``locks`` is closed."""
    folders = {}
    for number, fill in enumerate(STATES):
        path = home / "runs" / f"r-20261122-20341{number}-9f31ac"
        # Written twice: once for its length, then such that it ends now.
        with clock_at(time.time() - _length(fill)) as pause:
            writer = RunWriter(path, build_spec(batch_size=4))
            fill(writer, pause)
        file = locks.enter_context(writer.folder.agent_lock.open("a+b"))
        if fill in LIVE:
            assert try_lock(file)
        folders[fill.__name__] = path
    return folders


def _length(fill: Callable[[RunWriter, Callable[[float], None]], None]) -> float:
    with tempfile.TemporaryDirectory() as folder, clock_at(0.0) as pause:
        spent = 0.0

        def count(seconds: float) -> None:
            nonlocal spent
            spent += seconds
            pause(seconds)

        fill(RunWriter(Path(folder) / "run", build_spec(batch_size=4)), count)
        return spent


@contextmanager
def beating(folder: Path) -> Iterator[None]:
    """The heartbeat of a live run, while the block lasts."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.5):
            (folder / "heartbeat").touch()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks, tempfile.TemporaryDirectory() as folder:
        folders = write_states(Path(folder) / "home", locks)
        for state in ("queued", "training"):
            locks.enter_context(beating(folders[state]))
        with open_lab(Path(folder)) as lab:
            cells = [show_code(path, width=width) for path in folders.values() for width in WIDTHS.values()]
            notebook = lab.open(cells, viewport={"width": 1500, "height": 2700})
            for cell in range(len(cells)):
                notebook.run(cell)
            for theme, name in THEMES.items():
                notebook.set_theme(name)
                for number, (state, width) in enumerate((state, width) for state in folders for width in WIDTHS):
                    panel = notebook.panel(number)
                    panel.scroll_into_view_if_needed()
                    panel.locator("h2").wait_for()
                    panel.screenshot(path=out / f"run-{state}-{width}-{theme}.png", animations="disabled")
            for error in notebook.errors:
                print("page error:", error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
