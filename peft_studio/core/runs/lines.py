"""A run's events as lines of its log: what it said, what a rule warned of, why it failed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from peft_studio.core.runs import events as ev

LEVELS: tuple[ev.Level, ...] = ("debug", "info", "warning", "error")


def build_lines(events: Iterable[ev.Event]) -> Iterator[ev.Logged]:
    """The lines of these events, in order, each with the number and time of its event."""
    for event in events:
        if isinstance(event, ev.Logged):
            yield event
        elif isinstance(event, ev.Warned):
            yield _line(event, "warning", f"step {event.step}: {event.message}", event.hint)
        elif isinstance(event, ev.Finished) and event.failure:
            yield _line(event, "error", f"failed: {event.failure.message}", event.failure.hint)


def shows(line: ev.Logged, level: str, contains: str) -> bool:
    """Whether a line is at or above a level and contains a text, in any case."""
    return LEVELS.index(line.level) >= LEVELS.index(level) and contains.casefold() in line.text.casefold()


def _line(event: ev.Event, level: ev.Level, text: str, hint: str) -> ev.Logged:
    said = f"{text} {hint}" if hint else text
    return ev.Logged(level=level, text=said, source="studio", seq=event.seq, at=event.at, job=event.job)
