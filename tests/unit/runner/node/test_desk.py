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


@pytest.mark.parametrize("secrets", [{}, {"HF_TOKEN": "hf_kept_in_memory", "HF_ENDPOINT": "https://hub.example"}])
def test_an_agent_gets_secrets_by_its_input(tmp_path: Path, secrets: dict[str, str]) -> None:
    """And by nothing that others can read; one without any is told that there are none."""
    run, python = tmp_path / "home" / "runs" / "r-1", tmp_path / "agent.sh"
    run.mkdir(parents=True)
    python.write_text(TELLS)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    for name, text in (("start", "0"), ("python", str(python)), ("site", str(tmp_path))):
        (tmp_path / name).write_text(text)
    (run / "spec.json").write_text("{}")
    desk = Desk(tmp_path, run)
    desk.secrets = dict(secrets)

    desk.start_if_due()

    assert desk.agent
    assert desk.agent.wait(20) == 0
    given = (run / "given").read_text()
    assert json.loads(given or "{}") == secrets
    arguments, environment = (run / "arguments").read_text(), (run / "environment").read_text()
    assert ("--given" in arguments) == bool(secrets)
    assert "hf_kept_in_memory" not in arguments + environment
