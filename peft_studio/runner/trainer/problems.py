"""From an exception to a typed failure: what a person needs to know, and how to go on."""

from __future__ import annotations

import errno
import traceback

import torch

from peft_studio.core.errors import DataError, ModelError, StudioError
from peft_studio.core.runs.events import Failure
from peft_studio.core.runs.failures import HINTS, build_failure, of_model
from peft_studio.core.spec import RunSpec

_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "bad_alloc")
# "unexpected pos" is torch.save's: it finds that its file is shorter than what it wrote.
_NO_DISK = ("no space left", "disk quota exceeded", "file write failed", "iostream error", "unexpected pos")

# gloo says it as a RuntimeError
_LOST = (
    "connection closed by peer",
    "connection reset by peer",
    "gloo/transport",
    "application timeout caused pair closure",
)


class TrainingStopped(Exception):
    """Training ended on purpose because going on would spoil the adapter. ``code`` is the failure's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def explain_failure(error: BaseException, spec: RunSpec | None, *, step: int | None) -> Failure:
    """The failure that this exception means."""
    code, message = _classify(error)
    trace = "".join(traceback.format_exception(error))
    hint = error.hint if isinstance(error, StudioError) else ""
    return build_failure(code, message, spec=spec, trace=trace, step=step, hint=hint)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: every allocator says it in its own words."""
    lowered = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in lowered for words in _NO_MEMORY)


def is_rank_lost(error: BaseException) -> bool:
    """Whether this process has waited for another one that is gone."""
    lowered = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and any(words in lowered for words in _LOST)
    )


def _classify(error: BaseException) -> tuple[str, str]:
    text = str(error)
    lowered = text.lower()
    where = f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"
    if isinstance(error, TrainingStopped):
        return error.code, text
    if isinstance(error, StudioError):
        return _studio_code(error), error.message
    if is_rank_lost(error):
        return "rank_lost", f"Another training process ended, and one alone cannot go on. {where}"
    if is_out_of_memory(error):
        return "out_of_memory", f"There was not enough memory for this step. {where}"
    no_disk = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    if no_disk or any(words in lowered for words in _NO_DISK):
        return "disk_full", f"The disk is full: a file of the run could not be written. {where}"
    return "unexpected", where


def _studio_code(error: StudioError) -> str:
    code = str(getattr(error, "code", ""))
    if code in HINTS:
        return code
    if isinstance(error, ModelError):
        return of_model(code)
    return "data_changed" if isinstance(error, DataError) else "unexpected"
