"""The commands as a script sees them: through pipes, on homes with finished and lost runs."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from peft_studio import __version__
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.system import try_lock
from tests.unit.cli.homes import COMPLETED, FAILED, LOST, PROGRAM, STOPPED, peft_studio, write_home

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a space in its name. The tests only read it."""
    return write_home(tmp_path_factory.mktemp("cli") / "my home")


def test_version() -> None:
    """``--version`` is the package's."""
    assert peft_studio("--version").stdout == f"peft-studio {__version__}\n"


def test_help_fits_a_terminal() -> None:
    """Help is at most 80 columns wide and names every command."""
    said = peft_studio("--help", COLUMNS="80").stdout

    assert max(map(len, said.splitlines())) <= 80
    for name in ("quickstart", "train", "sweep", "runs", "attach", "stop", "resume", "chat", "doctor", "lab"):
        assert f" {name} " in said


def test_help_loads_nothing_heavy() -> None:
    """Building the whole command line, as --help does, loads no pydantic, no psutil and nothing of the core."""
    code = (
        "import sys; from peft_studio.cli.parser import build_parser; build_parser().format_help(); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "peft_studio.cli.parser" in loaded
    assert not {"pydantic", "psutil", "torch", "pandas", "peft_studio.core.errors", "peft_studio._studio"} & set(loaded)


@pytest.mark.parametrize(
    "name", ["quickstart", "train", "sweep", "runs", "attach", "stop", "resume", "chat", "doctor", "lab"]
)
def test_each_command_has_help(name: str) -> None:
    """Every command explains itself and takes --home."""
    done = peft_studio(name, "--help")

    assert done.returncode == 0
    assert "--home" in done.stdout


def test_no_command_shows_help() -> None:
    """Typing the name alone is answered with the help, and with the status of a usage error."""
    done = peft_studio()

    assert done.returncode == 2
    assert "quickstart" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["atach"], "Did you mean 'attach'?"),
        (["train"], "SPEC.json"),
        (["runs", "--limit", "0"], "at least 1"),
        (["runs", "--colour"], "--colour"),
    ],
)
def test_wrong_arguments(words: list[str], said: str, home: Path) -> None:
    """A wrong word gives status 2, one short message, and what would be right."""
    done = peft_studio(*words, home=home if words[0] == "runs" else None)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_messages_with_hints(home: Path) -> None:
    """A StudioError is its message and its hint on standard error, never a stack trace."""
    done = peft_studio("attach", "r-20200101-000000-ffffff", home=home)

    assert done.returncode == 1
    assert "There is no run 'r-20200101-000000-ffffff'" in done.stderr
    assert "\n  → " in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_lists_newest_first(home: Path) -> None:
    """Every run is listed with the state it is in now, newest first; the dead agent's run is lost."""
    lines = peft_studio("runs", home=home).stdout.splitlines()

    assert lines[0].split()[:2] == ["id", "state"]
    assert {line.split()[0]: line.split()[1] for line in lines[1:]} == {
        STOPPED: "Stopped", LOST: "Lost", FAILED: "Failed", COMPLETED: "Completed",
    }  # fmt: skip


def test_runs_filters_and_says_what_was_asked(home: Path) -> None:
    """Filters narrow the list; an empty answer repeats the question."""
    assert [
        line.split()[0] for line in peft_studio("runs", "--status", "failed", home=home).stdout.splitlines()[1:]
    ] == [FAILED]
    assert "text unheard-of" in peft_studio("runs", "--text", "unheard-of", home=home).stdout


def test_wrong_filter_names_the_right_one(home: Path) -> None:
    """A state that does not exist is an error that names the nearest."""
    done = peft_studio("runs", "--status", "complete", home=home)

    assert done.returncode == 1
    assert "Did you mean 'completed'?" in done.stderr


def test_runs_as_json(home: Path) -> None:
    """With --json each line is an object that a program can read."""
    rows = [json.loads(line) for line in peft_studio("runs", "--json", home=home).stdout.splitlines()]

    assert {row["id"]: row["state"] for row in rows}[LOST] == "lost"
    assert {row["step"] for row in rows} == {12}


def test_home_may_stand_before_the_command(home: Path) -> None:
    """--home means the same on both sides of the command."""
    before = subprocess.run([PROGRAM, "--home", str(home), "runs", "--json"], capture_output=True, text=True)

    assert before.stdout == peft_studio("runs", "--json", home=home).stdout


@pytest.mark.parametrize(
    ("run", "status", "said"),
    [
        (COMPLETED, 0, ["Completed: step 12 of 20", "loss 2.000 → 0.167", "eval loss 0.500", "9.8 MB", "chat smollm2-135m --adapter"]),
        (FAILED, 1, ["Failed, out of memory, step 12", "not enough memory", "→ Use less memory", "Halve the micro-batch: batch_size=2", "MemoryError", "Go on from step 10"]),
        (LOST, 1, ["Lost, silent for", "Go on from step 10", f"resume {LOST}"]),
        (STOPPED, 3, ["Stopped: step 12 of 20", f"resume {STOPPED}"]),
    ],
)  # fmt: skip
def test_attach_to_an_ended_run(run: str, status: int, said: list[str], home: Path) -> None:
    """Attaching to a run that has ended says how, what is left of it and what can be done; the status says it to scripts."""
    done = peft_studio("attach", run, home=home)

    assert done.returncode == status
    for words in said:
        assert words in done.stdout


def test_suggested_commands_are_runnable(home: Path) -> None:
    """A suggested command carries the home that was given, quoted for the shell."""
    said = peft_studio("attach", LOST, home=home).stdout

    assert f"resume {LOST} --home '{home}'" in said


def test_end_of_an_id_is_enough(home: Path) -> None:
    """A run is found by the end of its id, and by nothing when the newest is meant; an ambiguous end is refused."""
    assert FAILED in peft_studio("attach", "00000b", home=home).stdout
    assert STOPPED in peft_studio("attach", home=home).stdout
    unclear = peft_studio("attach", "", home=home)
    assert unclear.returncode == 1
    assert "4 runs have ids that end in" in unclear.stderr


@pytest.mark.parametrize("words", [["runs"], ["attach", LOST], ["attach", FAILED], ["doctor"], ["stop", LOST]])
def test_pipes_get_no_control_characters(words: list[str], home: Path) -> None:
    """Through a pipe there are plain lines alone, whatever the names and messages of a run contain."""
    done = peft_studio(*words, home=home, TERM="xterm-256color")

    assert CONTROLS.findall(done.stdout + done.stderr) == []
    assert "evil" not in done.stdout or "evil name" in done.stdout


@pytest.mark.parametrize("run", [COMPLETED, LOST])
def test_stop_leaves_ended_runs_alone(run: str, home: Path) -> None:
    """Stopping what is not under way changes nothing and says so."""
    log = RunFolder(home / "runs" / run).events.read_bytes()

    done = peft_studio("stop", run, home=home)

    assert done.returncode == 0
    assert "there is nothing to stop" in done.stdout
    assert RunFolder(home / "runs" / run).events.read_bytes() == log


def test_resume_takes_a_cap_and_refuses_one_where_nothing_is_rented(home: Path) -> None:
    """It reaches the run, which is of this machine and stays as it is."""
    done = peft_studio("resume", STOPPED, "--max-usd", "4", "--detach", home=home)

    assert done.returncode != 0
    assert "costs no rent" in done.stderr
    assert "run.resume()" in done.stderr


def test_resume_refuses_a_completed_run(home: Path) -> None:
    """There is nothing to resume in a completed run; the error says what to do instead."""
    done = peft_studio("resume", COMPLETED, home=home)

    assert done.returncode == 1
    assert "nothing to resume" in done.stderr
    assert "launch a new run" in done.stderr


def test_train_without_a_file(home: Path, tmp_path: Path) -> None:
    """A spec file that is not there, or that is no spec, is an error that says how one is made."""
    missing = peft_studio("train", str(tmp_path / "none.json"), home=home)
    broken = tmp_path / "broken.json"
    broken.write_text('{"version": 1, "modle": "x"}')

    assert (missing.returncode, peft_studio("train", str(broken), home=home).returncode) == (1, 1)
    assert "studio.export" in missing.stderr


def test_doctor_says_what_is_here_and_what_to_do(home: Path) -> None:
    """Doctor names Python, packages, device, memory, disk, model and home; a lost run comes with its cure."""
    done = peft_studio("doctor", home=home)

    assert done.returncode == 0
    for words in ("Python", "torch", "device", "GiB free", "smollm2-135m", str(home), f"resume {LOST} --home"):
        assert words in done.stdout
    assert "Ready to train." in done.stdout


def test_doctor_says_no_environment_variable(home: Path) -> None:
    """Nothing of the environment is shown, secrets least of all."""
    done = peft_studio("doctor", home=home, HF_TOKEN="hf_doctor_must_not_say_this", SECRET_NOTE="nor-this")

    assert "hf_doctor" not in done.stdout + done.stderr
    assert "nor-this" not in done.stdout + done.stderr


def test_doctor_names_living_agents(home: Path, tmp_path: Path) -> None:
    """A run whose agent is alive is listed as such, not as lost."""
    write_home(tmp_path)
    folder = RunFolder(tmp_path / "runs" / LOST)
    with folder.agent_lock.open("a+b") as lock:
        assert try_lock(lock)
        said = peft_studio("doctor", home=tmp_path).stdout

    assert re.search(rf"{LOST} .*is training; its agent is alive", said)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_doctor_finds_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    """A home without permission to write is a problem, and the exit status says so."""
    home = write_home(tmp_path / "home")
    peft_studio("runs", home=home)
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)

    assert peft_studio("doctor", home=home).returncode == 1


def test_closed_pipe_is_no_error(home: Path) -> None:
    """A reader that stops reading, as ``head`` does, is met without a stack trace."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run([PROGRAM, "runs", "--home", str(home)], stdout=closed, stderr=subprocess.PIPE, text=True)

    assert done.returncode == 141
    assert done.stderr == ""


def test_ascii_output_does_not_fail(home: Path) -> None:
    """Where output cannot carry "→" and "—", other characters stand for them and nothing fails."""
    done = peft_studio("attach", FAILED, home=home, PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert done.returncode == 1
    assert done.stdout.isascii()
    assert "Halve the micro-batch" in done.stdout


@pytest.mark.parametrize(
    ("words", "way"),
    [
        (("runs", "--limit", "0"), "→ peft-studio runs --help"),
        (
            ("lab", "--port", "99"),
            "→ What JupyterLab is to have comes after two dashes: peft-studio lab -- --port 9999",
        ),
        (("runs", "--port", "99"), "→ peft-studio --help"),
    ],
)
def test_a_wrong_word_is_answered_with_what_can_be_typed(words: tuple[str, ...], way: str) -> None:
    """The line that shows the way is one that works when it is copied."""
    done = peft_studio(*words)

    assert done.returncode == 2
    assert way in done.stderr
