"""Telemetry, which is not there until somebody turns it on and says where to: the consent, what is sent next, and when.

Knows no HTTP: reports go into the outbox.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from peft_studio.core.errors import OutboxError, StudioError
from peft_studio.core.markup import block, escape, visible
from peft_studio.core.offline import repair
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.redact import REDACTOR
from peft_studio.core.services.telemetry_report import build_report
from peft_studio.core.system import locked, write_private

TARGET, KIND, FILE = "telemetry", "report", "telemetry.json"
DAY_S, MOST_DAYS = 86_400.0, 30


@dataclass(frozen=True, slots=True)
class Consent:
    """What a home's owner has said. ``since``: when; ``last_at``: when the last report was put into the outbox, in seconds since 1970;
    ``draft``: the next report, if it was shown or is about to be sent."""

    on: bool = False
    url: str = ""
    since: str = ""
    last_at: float = 0.0
    draft: str = ""

    def __repr__(self) -> str:
        if not self.on:
            return "Telemetry is off: nothing is collected, queued or sent."
        last = datetime.fromtimestamp(self.last_at, UTC).isoformat(timespec="minutes") if self.last_at else "none yet"
        return visible(f"Telemetry is on since {self.since}, to {self.url}. Last report: {last}.")


class Preview(bytes):
    """The bytes of the next report; printed, they stand below where they go."""

    heading: str = ""

    def __repr__(self) -> str:
        return f"{self.heading}\n\n{self.decode()}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return block([f"<p>{escape(self.heading)}</p>", f"<pre>{escape(self.decode())}</pre>"])


class Telemetry:
    """``studio.telemetry``. While it is off it reads one file and does nothing else.

    Args:
        queue: Puts ``(payload, id)`` into the outbox, to be sent to :data:`TARGET`.
    """

    def __init__(
        self,
        home: Path,
        *,
        outbox: Callable[[], Outbox],
        queue: Callable[[Any, str], object],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._home, self._outbox, self._queue, self._now = home, outbox, queue, now
        self._shown = ""

    def __repr__(self) -> str:
        return repr(self.state)

    @property
    def state(self) -> Consent:
        """Whether it is on, since when and to where. What cannot be read is no consent."""
        return read_consent(self._home)

    def on(self, url: str) -> Consent:
        """Agree that a report goes to ``url``, a collector of your own or your team's: now, and then once a day after a launch.

        Look at ``preview()`` first: those bytes are what is sent first. Kept in this home until ``off()``.
        """
        _check_url(url)
        with self._alone():
            self._drop()
            since = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")
            said = self.state
            self._write(Consent(True, url, since, said.last_at, said.draft or self._shown))
            self._report_if_due()
        return self.state

    def off(self) -> Consent:
        """Withdraw that. Reports that wait are deleted; one that is on its way at this moment may still arrive.

        Raises:
            VaultError: The outbox cannot be opened now. The consent is withdrawn all the same, and nothing is sent.
        """
        with self._alone():
            self._write(Consent(last_at=self.state.last_at))
            self._drop()
        return self.state

    def preview(self) -> Preview:
        """Every byte of the next report: what waits, or what will be sent next and does not change any more once you have seen it."""
        with self._alone():
            said, waiting = self.state, self._waiting()
            text = waiting[0].payload["body"] if waiting and waiting[0].readable else said.draft or self._shown
            if not text:
                text = self._shown = self._build(said.last_at)
            if said.on and not waiting and text != said.draft:
                self._write(replace(said, draft=text))
        shown = Preview(text.encode())
        shown.heading = f"POST {said.url}" if said.on else "Telemetry is off. This would be sent:"
        return shown

    def report_if_due(self) -> None:
        """Queue a report if it is on, the last is a day old, and none waits."""
        if self.state.on:
            with self._alone():
                self._report_if_due()

    def _report_if_due(self) -> None:
        said = self.state
        if not said.on or self._now() - said.last_at < DAY_S or self._waiting():
            return
        draft = said.draft or self._shown or self._build(said.last_at)
        self._write(replace(said, draft=draft))  # on disk with its id first: a crash behind this doubles nothing
        self._queue({"url": said.url, "body": draft}, json.loads(draft)["id"])
        self._shown = ""
        self._write(replace(said, draft="", last_at=self._now()))

    def _waiting(self) -> list[Any]:
        if not (self._home / "outbox").exists():
            return []
        return [entry for entry in self._outbox().entries() if entry.target == TARGET]

    def _drop(self) -> None:
        for entry in self._waiting():
            with suppress(OutboxError):  # it is being sent just now, or has been
                repair.drop(self._outbox(), entry.id)

    def _write(self, said: Consent) -> None:
        write_private(self._home / FILE, json.dumps(asdict(said), indent=1) + "\n")

    def _alone(self) -> AbstractContextManager[None]:
        return locked(self._home / f".{FILE}.lock")

    def _build(self, last_at: float) -> str:
        report = build_report(self._home, since_at=max(last_at, self._now() - MOST_DAYS * DAY_S))
        return REDACTOR.text(report.model_dump_json(indent=1) + "\n")


def read_consent(home: Path) -> Consent:
    """What was said in a home."""
    try:
        return Consent(**json.loads((home / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Consent()


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:  # half an address of IPv6
        parts, host = urlsplit(""), ""
    here = host == "localhost"
    with suppress(ValueError):
        here = here or ip_address(host).is_loopback
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and here)) or not url.isprintable():
        raise StudioError(
            f"A report cannot go to {visible(url)[:200]!r}.",
            hint="Give an address that begins with https://; http:// is for this machine alone.",
            fields=("url",),
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise StudioError(
            "The address of a collector is kept as it is, so it cannot have a name, a key or a query in it.",
            hint="Give scheme, host and path alone.",
            fields=("url",),
        )
