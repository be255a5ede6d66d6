"""Who may use a device now. Runs on one device wait in line; a place in the line is a locked file, so the dead leave it by themselves."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import IO

from peft_studio.core.system import is_locked, try_lock

POLL_S = 0.3


def count_slots(device: str) -> int:
    """How many runs may use one device at once: ``$PEFT_STUDIO_CPU_SLOTS`` or ``$PEFT_STUDIO_CUDA_SLOTS``, else one."""
    given = os.environ.get(f"PEFT_STUDIO_{device.upper()}_SLOTS", "")
    return max(1, int(given)) if given.isdigit() else 1


class Slot:
    """A place in the line for a device, then the device. Both are locked files, held until given up or the process ends."""

    def __init__(self, home: Path, *, device: str, run_id: str) -> None:
        self._folder = home / "slots" / device
        self._line = self._folder / "line"
        self._line.mkdir(parents=True, exist_ok=True)
        self._ticket = self._line / run_id  # run ids sort by creation, so the line is fair
        self._count = count_slots(device)
        self._waiting: IO[bytes] | None = None
        self._held: IO[bytes] | None = None

    async def wait(self) -> None:
        """Return when this run has the device: it is the first living one in the line, and a slot is free."""
        self._waiting = self._ticket.open("a+b")
        while not try_lock(self._waiting):
            await asyncio.sleep(POLL_S)
        while self._is_behind_another() or not self._take():
            await asyncio.sleep(POLL_S)
        self._leave_line()

    def _is_behind_another(self) -> bool:
        return any(ticket.name < self._ticket.name and is_locked(ticket) for ticket in self._line.iterdir())

    def _take(self) -> bool:
        for number in range(self._count):
            file = (self._folder / f"slot-{number}").open("a+b")
            if try_lock(file):
                self._held = file
                return True
            file.close()
        return False

    def _leave_line(self) -> None:
        if self._waiting:
            self._ticket.unlink(missing_ok=True)
            self._waiting.close()
            self._waiting = None

    def fileno(self) -> int:
        """The descriptor of the device's locked file."""
        assert self._held
        return self._held.fileno()

    def leave(self) -> None:
        """Give up the place or the device."""
        self._leave_line()
        if self._held:
            self._held.close()
            self._held = None
