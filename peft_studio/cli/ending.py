"""How the end of a rented run's machine stands, for whoever waits for it in a terminal."""

from __future__ import annotations

import time

from peft_studio._studio import Studio
from peft_studio.cli.terminal import Terminal
from peft_studio.core.services.rentals import say_alarm
from peft_studio.core.words import duration
from peft_studio.widgets._text import plain

LOOK_S = 5.0
PATIENCE_S = 180.0  # with a machine that is to be gone: an alarm says it sooner, where somebody watches


class Ending:
    """Asked as often as one likes whether waiting on is of no use. Says each alarm of the run's machine once, as it comes."""

    def __init__(self, studio: Studio, run_id: str, terminal: Terminal) -> None:
        self._studio, self._run_id, self._terminal = studio, run_id, terminal
        self._looked_at, self._leaving_since = float("-inf"), float("inf")
        self._said: set[str] = set()

    def is_stuck(self) -> bool:
        """Whether the machine was to be gone and is not, though it was asked for long enough. Then that, too, was said."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return False
        self._looked_at = now
        listed = self._studio.rentals()
        leaving = [row for row in listed if row.run_id == self._run_id and row.leaving]
        self._leaving_since = min(self._leaving_since, now) if leaving else float("inf")
        labels = {row.label for row in leaving}
        alarms = [one for one in listed.alarms if one.label in labels]
        for alarm in alarms:
            self._say(alarm.kind + alarm.label, f"ALARM: {say_alarm(alarm)}")
        late = now - self._leaving_since >= PATIENCE_S
        if not late and not any(alarm.kind == "not-gone" for alarm in alarms):
            return False
        for row in leaving if late and not alarms else ():
            waited = (
                f"{row.instance_id or row.label} at {row.provider} is not proven gone after {duration(PATIENCE_S)}."
            )
            self._say(row.label, f"{waited} {row.trouble}".strip())
        for warning in listed.warnings:
            self._say(warning, warning)
        self._terminal.say(
            "Its end is written down, and the process that watches rented machines goes on asking for it. How it stands:"
        )
        self._terminal.exact(self._terminal.command("rentals"), self._terminal.command("attach", self._run_id))
        return True

    def _say(self, key: str, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._terminal.clear()
            self._terminal.say(plain(text), "warn")
