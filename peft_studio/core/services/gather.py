"""Answers of several connectors to one question. None of them delays the others for long."""

from __future__ import annotations

import functools
import queue
import time
from collections.abc import Mapping
from typing import TypeVar

from peft_studio.core.errors import StudioError
from peft_studio.core.ports.catalog import Health, Pending
from peft_studio.core.ports.platform import Value

LEAST_S = 2.0  # for whoever is not first

V = TypeVar("V", bound=Value)


def gather(
    calls: Mapping[str, Pending[V]],
    before: Mapping[str, Health],
    errors: dict[str, StudioError],
    *,
    deadline_s: float,
) -> dict[str, V]:
    """The answers that arrive while there is reason to wait; for the others an error, put into ``errors``.

    Once one has answered, each of the others is waited for twice as long as it took last time, and two seconds at least. One that
    misbehaved last time is not waited for at all.
    """
    arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name, call in calls.items():
        call.when_done(functools.partial(arrived.put, name))
    found: dict[str, V] = {}
    waiting = set(calls)
    while waiting:
        patience = {name: deadline_s if not found else _patience(before[name]) for name in waiting}
        until = max(calls[name].began_at + min(patience[name], deadline_s) for name in waiting)
        try:
            name = arrived.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        waiting.discard(name)
        _take(name, calls[name], found, errors)
    for name in waiting:
        _take(name, calls[name], found, errors)
    return found


def _patience(before: Health) -> float:
    """Seconds that a connector is worth, once another has answered."""
    return max(LEAST_S, 2 * (before.took_s or 0.0)) if before.ok else 0.0


def _take(name: str, call: Pending[V], found: dict[str, V], errors: dict[str, StudioError]) -> None:
    try:
        found[name] = call.result(0.0)
    except StudioError as exc:
        errors[name] = exc
