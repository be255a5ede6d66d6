"""A run that is under way, watched through a pipe and through a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.cli.homes import PROGRAM

RUN = "r-20261105-080000-00000e"
ROOT = Path(__file__).resolve().parents[3]
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@pytest.fixture
def live_home(tmp_path: Path) -> Iterator[Path]:
    """A home with one run under way: a process that holds its lock and writes its log and metrics."""
    folder = tmp_path / "runs" / RUN
    command = [sys.executable, "-m", "tests.ui.write_run", str(folder), "--rows-per-s", "50"]
    writer = subprocess.Popen(command, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (folder / "metrics").exists():
        assert time.monotonic() < deadline, "the writer did not begin"
        assert writer.poll() is None
        time.sleep(0.02)
    yield tmp_path
    writer.kill()
    writer.wait()


def test_pipe_gets_lines_and_interrupt_detaches(live_home: Path) -> None:
    """Through a pipe a live run is plain lines; Ctrl-C leaves with status 130, says how to come back, and the run goes on."""
    process = subprocess.Popen(
        [PROGRAM, "attach", "--home", str(live_home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Training  step"):
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)

    said = "".join(lines) + rest
    assert process.returncode == 130
    assert re.search(r"Training  step \d+ of 300 \(\d+ %\)  loss \d\.\d{3}, from \d\.\d{3}", said)
    assert f"attach {RUN} --home {live_home}" in said
    assert f"stop {RUN} --home {live_home}" in said
    assert "\x1b" not in said
    assert "\r" not in said
    assert errors == ""
    assert [line.split()[1] for line in runs_of(live_home)] == ["Training"]


@pytest.mark.parametrize("columns", [80, 50])
@pytest.mark.parametrize("no_color", ["", "1"])
def test_terminal_is_redrawn_in_place(live_home: Path, columns: int, no_color: str) -> None:
    """On a terminal the block is redrawn where it stands, no line reaches the last column, and NO_COLOR takes hue alone away."""
    said, status = watch_terminal(
        [PROGRAM, "attach", "--home", str(live_home)], columns=columns, environment={"NO_COLOR": no_color},
        until=lambda text: len(re.findall(r"\x1b\[\d+A\x1b\[0J", text)) >= 3 and "tokens/s" in text,
    )  # fmt: skip

    blocks = re.split(r"\x1b\[\d+A\x1b\[0J", said)
    assert status == 130
    assert "Training" in blocks[-2]
    assert max(len(ANSI.sub("", line).rstrip("\r")) for block in blocks[1:-1] for line in block.split("\n")) < columns
    assert ("\x1b[36m" in said) == (not no_color)


def test_dumb_terminal_gets_lines(live_home: Path) -> None:
    """A terminal that calls itself dumb gets plain lines without control characters."""
    said, status = watch_terminal(
        [PROGRAM, "attach", "--home", str(live_home)], columns=80, environment={"TERM": "dumb"},
        until=lambda text: "Training  step" in text,
    )  # fmt: skip

    assert status == 130
    assert "\x1b" not in said


def test_silent_agent_is_shown_as_silent(live_home: Path) -> None:
    """Three missed heartbeats replace the state's word by how long ago the run was heard, and no time left is promised."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and writes(path, live_home)]
    assert len(pids) == 1
    os.kill(pids[0], signal.SIGSTOP)
    try:
        said, _ = watch_terminal(
            [PROGRAM, "attach", "--home", str(live_home)],
            columns=80,
            environment={},
            until=lambda text: "Last heard" in text,
        )
    finally:
        os.kill(pids[0], signal.SIGCONT)

    last = ANSI.sub("", re.split(r"\x1b\[\d+A\x1b\[0J", said)[-1])
    assert "Last heard" in last
    assert "left" not in last


def runs_of(home: Path) -> list[str]:
    done = subprocess.run([PROGRAM, "runs", "--home", str(home)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[1:]


def writes(process: Path, home: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"tests.ui.write_run" in words and any(word.startswith(os.fsencode(home)) for word in words)


def watch_terminal(
    command: list[str], *, columns: int, environment: dict[str, str], until: Callable[[str], bool]
) -> tuple[str, int]:
    """What a program writes to a terminal of that width until the condition holds; then Ctrl-C is typed. With its exit status."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    base = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "LINES"}}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**base, "TERM": "xterm-256color", **environment},
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    said, asked, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the other side is closed: the program has ended
                break
        if not asked and until(said.decode(errors="replace")):
            os.write(ours, b"\x03")
            asked = True
    status = process.wait(timeout=30)
    os.close(ours)
    assert asked, said.decode(errors="replace")
    return said.decode(errors="replace").partition("^C")[0], status
