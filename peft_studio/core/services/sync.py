"""The outbox as a user meets it: what waits, what was refused and what to do about it, what a sync came to. In words and as a table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from peft_studio.core import words
from peft_studio.core.markup import block, escape, table, visible
from peft_studio.core.offline import repair
from peft_studio.core.offline.delivery import Delivered
from peft_studio.core.offline.entry import Entry, Receipt, State
from peft_studio.core.offline.outbox import Outbox

MOST_SHOWN = 100  # of those that wait, and of those that were refused
HEADS = ("id", "target", "what", "state", "since", "why")


class OutboxView(Sequence[Entry]):
    """What is in the outbox at this moment, in the order in which it goes out: the first of it, where it is much.

    ``retry(id)``, ``edit(id, payload)`` and ``drop(id)`` repair what was refused; ``sent()`` is what went out last.
    """

    def __init__(self, outbox: Outbox, offline: bool | str, now: Callable[[], float] = time.time) -> None:
        self._outbox, self._offline, self._now = outbox, offline, now
        shown = outbox.entries(state="dead", limit=MOST_SHOWN) + outbox.entries(state="waiting", limit=MOST_SHOWN)
        self._entries = sorted(shown, key=lambda entry: entry.seq)
        self._counts = outbox.counts()

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Entry:  # type: ignore[override]  # a slice has no use
        return self._entries[index]

    @property
    def total(self) -> int:
        """How many there are, those that are not shown included."""
        return sum(self._counts.values())

    @property
    def summary(self) -> str:
        """One sentence: ``2 uploads wait for the network.``"""
        return summarise(self._counts, self._offline)

    def retry(self, entry_id: str) -> Entry:
        """Try one again at once, in its place."""
        return repair.retry(self._outbox, entry_id)

    def edit(self, entry_id: str, payload: Any) -> Entry:
        """Give one that was refused another payload, and try it again."""
        return repair.edit(self._outbox, entry_id, payload)

    def drop(self, entry_id: str) -> None:
        """Give one up for good."""
        repair.drop(self._outbox, entry_id)

    def sent(self, limit: int = 50) -> list[Receipt]:
        """What went out or was dropped last, newest first."""
        return self._outbox.receipts(limit)

    def __repr__(self) -> str:
        if not self._entries:
            return self.summary
        cells = [HEADS, *map(self._cells, self._entries)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(HEADS))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells]
        return "\n".join([self.summary, "", *lines, *self._more()])

    def _repr_html_(self) -> str:
        rows = [table(HEADS, map(self._cells, self._entries))] if self._entries else []
        return block([f"<p>{escape(self.summary)}</p>", *rows, *(f"<p>{line}</p>" for line in self._more())])

    def _more(self) -> list[str]:
        more = self.total - len(self._entries)
        return [f"… and {more:,} more."] if more > 0 else []

    def _cells(self, entry: Entry) -> tuple[str, ...]:
        now = self._now()
        reason = visible(" ".join(entry.reason.split()))
        if entry.state == "dead":
            state = "refused" if entry.cause == "refused" else "needs you"
        else:
            left_s, state = entry.left_s(now), "waits"
            if left_s:
                reason += f"; again in {words.duration(math.ceil(left_s))}"
            if entry.tries:
                state = f"tried {entry.tries}×"
        since = words.age(now - entry.queued_at.timestamp())
        return (entry.id, visible(entry.target), visible(entry.kind), state, since, reason)


class Synced(Sequence[Delivered]):
    """What a sync came to, line by line."""

    def __init__(
        self, lines: Sequence[Delivered], counts: Mapping[tuple[str, str, State], int], offline: bool | str
    ) -> None:
        self._lines, self._counts, self.offline = list(lines), dict(counts), offline

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Delivered:  # type: ignore[override]  # a slice has no use
        return self._lines[index]

    @property
    def sent(self) -> int:
        """How many operations went out."""
        return sum(line.sent for line in self._lines)

    @property
    def left(self) -> int:
        """How many wait, or were refused."""
        return sum(self._counts.values())

    def __repr__(self) -> str:
        said = [f"{self.sent} sent. {summarise(self._counts, self.offline)}"]
        for line in self._lines:
            left = sum(count for (target, _, _), count in self._counts.items() if target == line.target)
            if left and line.why and not self.offline:
                again = f"; again in {words.duration(math.ceil(line.left_s))}" if line.left_s else ""
                said.append(visible(f"  {line.target}: {' '.join(line.why.split())}{again}"))
        return "\n".join(said)

    def _repr_html_(self) -> str:
        return block(f"<p>{escape(line)}</p>" for line in repr(self).splitlines())


def summarise(counts: Mapping[tuple[str, str, State], int], offline: bool | str) -> str:
    """What waits and what was refused, in a sentence or two. ``counts`` are those of :meth:`Outbox.counts`."""
    said = []
    for state, one, many in (("waiting", "waits", "wait"), ("dead", "was refused", "were refused")):
        kinds: dict[str, int] = {}
        for (_, kind, its_state), count in counts.items():
            if its_state == state:
                kinds[kind] = kinds.get(kind, 0) + count
        if kinds:
            verb = one if sum(kinds.values()) == 1 else many
            end = (" for the network" if offline else " to be sent") if state == "waiting" else ""
            said.append(f"{_listed(kinds)} {verb}{end}")
    if not said:
        return "Nothing waits."
    repair_it = "; see studio.outbox" if said[-1].endswith("refused") else ""
    return ". ".join(said) + repair_it + "."


def _listed(kinds: Mapping[str, int]) -> str:
    named = [f"{count:,} {visible(kind)}{'' if count == 1 else 's'}" for kind, count in kinds.items()]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
