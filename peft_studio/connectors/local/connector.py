"""Runs on this machine: an agent process that outlives whoever started it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from peft_studio.connectors.base.agent_client import Address, AgentClient
from peft_studio.core.errors import StudioError
from peft_studio.core.runs.events import Event
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.system import detached, is_locked
from peft_studio.core.vault import without_keys


class LocalCompute:
    """This machine. Implements :class:`peft_studio.core.ports.Compute`."""

    name = "local"

    def __init__(self, *, require_network: Callable[[str], None] = lambda what: None) -> None:
        """``require_network`` raises while nothing may leave: an agent that is started then asks the hub for nothing."""
        self._require_network = require_network

    def submit_job(self, folder: RunFolder, *, from_step: int = 0) -> None:
        """Start the agent in a session of its own: closing the notebook, kernel or terminal does not reach it."""
        command = [sys.executable, "-m", "peft_studio.runner", "agent", str(folder.path), "--from-step", str(from_step)]
        with (folder.path / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder.path,
                env=self._build_environment(),
                **detached(),
            )
        # Should the agent end before we do, somebody must take note, or it stays in the process table.
        threading.Thread(target=process.wait, name=f"agent-{folder.id}", daemon=True).start()

    def stream_logs(self, folder: RunFolder, *, after: int = 0) -> Iterator[Event]:
        """Events as they happen, over the agent's own protocol."""
        for message in self._client(folder).stream(after=after):
            if isinstance(message, Event):
                yield message

    def stop_job(self, folder: RunFolder, *, save: bool) -> None:
        """Ask the agent to stop."""
        self._client(folder).command("stop", save=save)

    def fetch_artifact(self, folder: RunFolder, name: str, to: Path) -> Path:
        """Copy a file of the run; the agent is not needed, the file is already here."""
        to.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy2(folder.path / name, to))

    def _build_environment(self) -> dict[str, str]:
        """Ours, less what only makes sense inside a notebook's kernel, and keys that training has no use for."""
        kept = without_keys(os.environ).items()
        found = {name: value for name, value in kept if not name.startswith(("JPY_", "JUPYTER_", "IPYTHON"))}
        try:
            self._require_network("The base model")
        except StudioError:
            return {**found, "HF_HUB_OFFLINE": "1"}
        return found

    def _client(self, folder: RunFolder) -> AgentClient:
        return AgentClient(lambda: find_agent(folder))


def find_agent(folder: RunFolder) -> Address | None:
    """The address of a run's agent; None when none is alive."""
    if not is_locked(folder.agent_lock):
        return None
    try:
        found = json.loads(folder.agent.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Address(found["host"], found["port"], found["token"])
