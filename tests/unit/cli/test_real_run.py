"""The commands on real runs of a tiny model: train, leave, come back, stop, resume, talk."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.runs.state import LIVE
from tests.conftest import wait_for
from tests.unit.cli.homes import PROGRAM, peft_studio

pytestmark = pytest.mark.slow
MakeSpec = Callable[..., Any]


@pytest.fixture
def spec_file(studio: Studio, make_spec: MakeSpec, tmp_path: Path) -> Callable[..., str]:
    """Write a spec of the tiny model to a file, as a person would with ``studio.export``."""

    def _write(**fields: Any) -> str:
        return str(studio.export(make_spec(**fields), tmp_path / "spec.json"))

    return _write


def test_train_follows_to_the_end(studio: Studio, spec_file: Callable[..., str]) -> None:
    """``train`` runs a spec file, shows steps and result, and exits 0; chat then answers through a pipe with that adapter."""
    done = peft_studio("train", spec_file(name="tiny"), home=studio.home)
    run = studio.runs(limit=1)[0]
    asked = subprocess.run(
        [PROGRAM, "chat", str(run.spec.model), "--adapter", f"tuned={run.id}", "--max-new-tokens", "4", "--home", str(studio.home)],
        input="Please send 3 maps to Oslo.\n\nAnd 4 lamps?\n", capture_output=True, text=True, timeout=300,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Completed: step 6 of 6, loss \d\.\d+ → \d\.\d+", done.stdout)
    assert str(run.adapter.path) in done.stdout
    assert "\x1b" not in done.stdout
    assert asked.returncode == 0, asked.stderr
    assert len(asked.stdout.splitlines()) == 2


def test_leave_come_back_stop_and_resume(studio: Studio, spec_file: Callable[..., str]) -> None:
    """Ctrl-C leaves a run going; ``stop`` from elsewhere ends it with its adapter kept; ``resume`` takes it up at that step."""
    command = [PROGRAM, "train", spec_file(max_steps=20_000, save_steps=50), "--home", str(studio.home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("Training  step"):
            break
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[0]
    run = studio.runs(limit=1)[0]
    step_when_left = max(run.metrics()["step"])
    wait_for(lambda: max(run.metrics()["step"]) > step_when_left, "the run to go on by itself")

    stopped = peft_studio("stop", run.id, home=studio.home)
    step = run.read()[0].adapter.step  # type: ignore[union-attr]
    resumed = peft_studio("resume", run.id, "--detach", home=studio.home)

    assert process.returncode == 130
    assert f"attach {run.id} --home" in said
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert f"Stopped, saved at step {step:,}" in stopped.stdout
    assert resumed.returncode == 0, resumed.stderr
    assert run.read()[0].from_step == step
    assert run.state in LIVE


def test_detached_train_prints_the_id(studio: Studio, spec_file: Callable[..., str]) -> None:
    """``train --detach`` returns at once; its output is the run's id alone, for scripts, and the run is there."""
    done = peft_studio("train", spec_file(), "--detach", home=studio.home)

    assert done.returncode == 0
    assert studio.run(done.stdout.strip()).wait(timeout=300).state == "completed"


def test_train_refuses_what_is_not_ready(studio: Studio, spec_file: Callable[..., str]) -> None:
    """A blocking problem ends the command before anything is started, with what to do."""
    path = Path(spec_file())
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "optimizer": "paged_adamw_8bit", "chosen": [*fields["chosen"], "optimizer"]}))

    done = peft_studio("train", str(path), home=studio.home)

    assert done.returncode == 1
    assert "CUDA" in done.stderr
    assert "→" in done.stderr
    assert len(studio.runs()) == 0
