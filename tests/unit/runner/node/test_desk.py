"""What the desk of a rented machine starts, and how that gets its secrets."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from peft_studio.runner.node.desk import Desk

# An agent that tells what it was started with.
TELLS = """#!/bin/sh
cat > given
tr '\\0' '\\n' < /proc/$$/environ > environment
tr '\\0' '\\n' < /proc/$$/cmdline > arguments
"""


def furnish(base: Path) -> Path:
    """A machine on which everything is there, but for the word to start; its run's folder."""
    run, python = base / "home" / "runs" / "r-1", base / "agent.sh"
    run.mkdir(parents=True)
    python.write_text(TELLS)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    for name, text in (("python", str(python)), ("site", str(base))):
        (base / name).write_text(text)
    (run / "spec.json").write_text("{}")
    return run


@pytest.mark.parametrize("secrets", [{}, {"HF_TOKEN": "hf_kept_in_memory", "HF_ENDPOINT": "https://hub.example"}])
def test_an_agent_gets_secrets_by_its_input(tmp_path: Path, secrets: dict[str, str]) -> None:
    """And by nothing that others can read; one without any is told that there are none."""
    run = furnish(tmp_path)
    desk = Desk(tmp_path, run)
    desk.secrets = dict(secrets)

    desk.want(7, [])
    desk.start_if_due()

    assert desk.agent
    assert desk.agent.wait(20) == 0
    given = (run / "given").read_text()
    assert json.loads(given or "{}") == secrets
    arguments, environment = (run / "arguments").read_text(), (run / "environment").read_text()
    assert ("--given" in arguments) == bool(secrets)
    assert arguments.split()[arguments.split().index("--from-step") + 1] == "7"
    assert "hf_kept_in_memory" not in arguments + environment


@pytest.mark.parametrize("when", ["before the word to start", "after it"])
def test_a_door_that_died_with_the_secrets_starts_nothing_without_them(tmp_path: Path, when: str) -> None:
    """The next one knows their names, which are all that is on the disk, says that it waits for them, and starts once it has them."""
    run = furnish(tmp_path)
    first = Desk(tmp_path, run)
    first.secrets = {"HF_TOKEN": "hf_kept_in_memory"}
    desk = first if when == "after it" else Desk(tmp_path, run)
    desk.want(0, ["HF_TOKEN"])
    assert b"hf_kept_in_memory" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    last = Desk(tmp_path, run)
    last.start_if_due()
    assert (last.agent, last.wants()) == (None, ["HF_TOKEN"])
    last.secrets["HF_TOKEN"] = "hf_kept_in_memory"
    last.start_if_due()
    assert last.agent
    assert last.agent.wait(20) == 0
    assert json.loads((run / "given").read_text()) == {"HF_TOKEN": "hf_kept_in_memory"}
    assert last.wants() == []
