"""What following a run meets with: each thing said once in the log, and what is of this machine's disk also where the run is looked at."""

from __future__ import annotations

import logging

from peft_studio.core.errors import ConnectorError, NoRoom
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.trouble import read_trouble, say_disk, tell_trouble

LOOK_S = 1.0  # between two looks at a machine that does not answer yet
MOST_WAIT_S = 15.0  # the same while this machine's disk takes nothing; a machine's lease is minutes long
MOST_SAID = 20  # a log of what has other words each second would fill a disk
log = logging.getLogger("peft_studio.rent")


class Troubles:
    """Of one run. ``text``: what it met with last; empty once that is over."""

    def __init__(self, folder: RunFolder, name: str) -> None:
        self._folder, self._name = folder, name
        self._disk_wait_s = LOOK_S
        self._said: set[str] = set()
        self.text = read_trouble(folder)  # said while the machine before was followed: it is this one's to take back

    def note(self, exc: Exception) -> float:
        """Take note; how many seconds to leave it alone."""
        ours = is_of_our_disk(exc)
        said = say_disk(exc, self._folder) if ours else str(exc)
        if ours:
            tell_trouble(self._folder, said)
        self.text = said
        if said not in self._said and len(self._said) < MOST_SAID:
            self._said.add(said)
            log.warning("%s: %s", self._name, said)
        if not ours:
            return LOOK_S
        self._disk_wait_s = min(2 * self._disk_wait_s, MOST_WAIT_S)
        return self._disk_wait_s

    def over(self) -> None:
        """It goes on."""
        self._disk_wait_s = LOOK_S
        self._said.clear()
        if self.text:
            self.text = ""
            tell_trouble(self._folder, "")


def is_of_our_disk(exc: Exception) -> bool:
    """Whether it was this machine's disk that refused."""
    return isinstance(exc, OSError | NoRoom) or (isinstance(exc, ConnectorError) and isinstance(exc.__cause__, OSError))
