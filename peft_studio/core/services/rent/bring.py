"""Brings a run's files home from its machine: checkpoints as they come, the adapter at the end, each whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from peft_studio.core.errors import ConnectorError, Corrupt, Unavailable
from peft_studio.core.ports.node import Node
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import checkpoint_path, prune, sha256_of, verify
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.services.rent.troubles import is_of_our_disk

AT_RISK_S = 60.0  # so much work may be lost with a machine: a newer checkpoint is fetched at most so often
TRIES = 5  # of the last checkpoint of a run that did not complete; one that is damaged over there never comes
ASIDE = ".arriving"
WEIGHTS = "adapter_model.safetensors"
FULL = (
    "That disk was its machine's, and that is ended. What was fetched is kept: run.resume() goes on on another machine."
)


class Bringer:
    """Writes into one run's folder. ``note_took``: told how long saving a checkpoint there and fetching it took."""

    def __init__(self, mirror: Mirror, *, note_took: Callable[[float], None] = lambda seconds: None) -> None:
        self._mirror, self._folder, self._note_took = mirror, mirror.folder, note_took
        self._aside = mirror.folder.path / ASIDE
        self._fetched_at, self._tries = float("-inf"), 0
        self.trouble: Exception | None = (
            None  # why the last checkpoint is not here, where this machine's disk is to blame
        )
        self._busy: threading.Thread | None = None

    def checkpoint(self, node: Node, saved: ev.CheckpointSaved) -> None:
        """Begin to fetch a checkpoint beside everything else, unless one is on its way or came a moment ago."""
        if (self._busy and self._busy.is_alive()) or time.monotonic() - self._fetched_at < AT_RISK_S:
            return
        self._fetched_at = time.monotonic()
        self._busy = threading.Thread(target=self._fetch_and_time, args=(node, saved), daemon=True)
        self._busy.start()

    def _fetch_and_time(self, node: Node, saved: ev.CheckpointSaved) -> None:
        began = time.monotonic()
        try:
            if self._fetch_checkpoint(node, saved.step):
                self._note_took(saved.duration_s + time.monotonic() - began)
            self.trouble = None
        except (ConnectorError, OSError) as exc:  # the next one is due soon; until then it is told of
            self.trouble = exc

    def read_log(self, node: Node) -> list[ev.Event]:
        """The machine's log and numbers as they stand in its files; its events from the job that is here on."""
        there = node.list_files()
        for name in ("events.jsonl", "metrics", "system"):
            (self._aside / name).unlink(missing_ok=True)
        node.fetch(*(name for name in ("events.jsonl", "metrics") if name in there), to=self._aside)
        self._append_tail("metrics")
        with contextlib.suppress(ConnectorError):  # it grows while an agent lives, so that its digest is another
            node.fetch(*(name for name in ("system",) if name in there), to=self._aside)
            self._append_tail("system")
        return read_events(self._aside / "events.jsonl")

    def home(self, node: Node, finished: ev.Finished) -> None:
        """Fetch what the job left, then say that it has ended: never before its adapter is here and the one that was announced.

        Raises:
            ConnectorError: It did not come; to be tried again.
        """
        self._mirror.phase("fetching")
        if self._busy:
            self._busy.join()
        names = sorted(node.list_files())
        self.read_log(node)
        with contextlib.suppress(ConnectorError):
            node.fetch(*(name for name in names if name == "agent.log"), to=self._folder.path)
        saved = self._mirror.state.adapter
        if finished.failure and finished.failure.code == "adapter_unloadable":
            saved = None  # its own agent found that it is not the one that was announced: it would never come
        if saved is not None:
            self._fetch_folder(node, names, saved.path)
            if sha256_of(self._aside / saved.path / WEIGHTS) != saved.sha256:
                shutil.rmtree(self._aside / saved.path)
                raise Corrupt("The adapter that came is not the one that was announced.", hint="It is fetched again.")
            _replace(self._aside / saved.path, self._folder.path / saved.path)
        if finished.state != "completed" and self._mirror.state.checkpoints:
            self._fetch_last(node, self._mirror.state.checkpoints[-1].step, names)
        self._mirror.say(ev.Finished(state=finished.state, failure=_as_seen_here(finished.failure)))
        shutil.rmtree(self._aside, ignore_errors=True)

    def _fetch_last(self, node: Node, step: int, names: list[str]) -> None:
        """The checkpoint from which the run can go on: its machine ends once this returns, so a line that breaks is not the end of it, and
        a disk of ours that takes nothing less so.
        """
        inside = checkpoint_path(self._folder.checkpoints, step).relative_to(self._folder.path).as_posix()
        if self._fetch_checkpoint(node, step) or not any(name.startswith(f"{inside}/") for name in names):
            return
        self._tries += 1
        if self._tries < TRIES:
            raise Unavailable(f"The checkpoint of step {step} did not come.", hint="It is fetched again.")

    def _fetch_checkpoint(self, node: Node, step: int) -> bool:
        """Whether it is here now. What this machine's disk refuses is raised: it is no fault of the checkpoint's."""
        place = checkpoint_path(self._folder.checkpoints, step)
        inside = place.relative_to(self._folder.path).as_posix()
        try:
            self._fetch_folder(node, sorted(node.list_files()), inside)
        except ConnectorError as exc:
            if is_of_our_disk(exc):
                raise
            return False
        if not verify(self._aside / inside):
            return False
        _replace(self._aside / inside, place)
        prune(self._folder.checkpoints, keep=max(1, self._folder.load_spec().keep_checkpoints))
        return True

    def _fetch_folder(self, node: Node, names: list[str], folder: str) -> None:
        shutil.rmtree(self._aside / folder, ignore_errors=True)
        node.fetch(*(name for name in names if name.startswith(f"{folder}/")), to=self._aside)

    def _append_tail(self, name: str) -> None:
        """The bytes of ``metrics`` or ``system`` that ours lacks."""
        path, here = self._aside / name, self._mirror.size_of(name)
        if path.exists() and path.stat().st_size > here:
            with path.open("rb") as file:
                file.seek(here)
                self._mirror.take_bytes(name, here, file.read())


def _as_seen_here(failure: ev.Failure | None) -> ev.Failure | None:
    """What is to be done about a full disk there is another thing than here: that disk goes with its machine."""
    return failure.model_copy(update={"hint": FULL}) if failure and failure.code == "disk_full" else failure


def _replace(new: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    os.replace(new, place)
