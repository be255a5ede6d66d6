"""How a process loads torch and all that stands on it: seconds of computing before it can train or answer. Loads nothing itself."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collecting_later() -> Iterator[None]:
    """For loading, which leaves next to no garbage: looking for it meanwhile takes a sixth of the time. What is there at the end is kept for
    good, and not looked through again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
