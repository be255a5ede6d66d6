"""Whether an estimate of memory fits a device, by the rule that every badge shows."""

from __future__ import annotations

from typing import Literal, get_args

from peft_studio.core.estimators.estimate import Estimate, Number

Fit = Literal["ok", "tight", "wont-fit", "unknown"]
FITS: tuple[str, ...] = get_args(Fit)
SPARE_SHARE = 0.12  # of a device's memory that stays free when the badge says OK
GIB = 2**30


def find_fit(memory: Estimate | None, device_bytes: float | None) -> Fit:
    """``ok``: the high end leaves 12 % free. ``tight``: the estimate fits, its range enters the last 12 %. ``wont-fit``: it does not fit."""
    if memory is None or not device_bytes:
        return "unknown"
    if memory.value > device_bytes:
        return "wont-fit"
    return "ok" if float(memory.high) <= device_bytes * (1 - SPARE_SHARE) else "tight"


def fit_sentence(memory: Estimate | None, device_bytes: float | None) -> str:
    """``needs 3.1 (2.8–3.9) of 24.0 GiB``; "—" for what is not known."""
    if memory is None:
        return f"needs — of {_gib(device_bytes)} GiB"
    return f"needs {_gib(memory.value)} ({_gib(memory.low)}–{_gib(memory.high)}) of {_gib(device_bytes)} GiB"


def _gib(count: Number | None) -> str:
    return "—" if count is None else f"{float(count) / GIB:.1f}"
