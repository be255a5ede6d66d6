"""bitsandbytes, loaded without torch's compiler: a quarter of all that a trainer loads, for functions that most runs never call.

Its modules put ``torch.compile`` around four functions, which loads the compiler at once. Here each is compiled when it is first called.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any


def load_bitsandbytes() -> None:
    """Load it, where it is installed, before anybody else does. Whoever needs it meets what is wrong with it."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return
    import torch

    at_once = torch.compile
    torch.compile = compile_late(at_once)
    try:
        with contextlib.suppress(ImportError, OSError, RuntimeError):
            importlib.import_module("bitsandbytes")
    finally:
        torch.compile = at_once


def compile_late(at_once: Callable[..., Any]) -> Callable[..., Any]:
    """``torch.compile`` that compiles at the first call. In an ordinary function's place only, with or without arguments."""

    def late(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
        if function is None:
            return lambda one: late(one, **options)
        compiled: list[Callable[..., Any]] = []

        def first_compile(*args: Any, **named: Any) -> Any:
            if not compiled:
                compiled.append(at_once(function, **options))
            return compiled[0](*args, **named)

        return first_compile

    return late
