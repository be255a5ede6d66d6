"""A trainer begins without torch's compiler, and what bitsandbytes wants compiled is compiled when it is called."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from peft_studio.runner.trainer.late_compile import compile_late

LOAD = """
import sys, torch
from peft_studio.runner.trainer.late_compile import load_bitsandbytes
at_once = torch.compile
load_bitsandbytes()
import bitsandbytes.functional, peft, transformers
assert torch.compile is at_once
print("torch._inductor.compile_fx" in sys.modules)
"""


def test_it_compiles_at_the_first_call_and_once() -> None:
    """With its options, as a decorator with and without arguments."""
    compiled: list[tuple[str, dict[str, Any]]] = []

    def at_once(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        compiled.append((function.__name__, options))
        return function

    late = compile_late(at_once)

    @late
    def one(number: int) -> int:
        return number + 1

    @late(dynamic=False)
    def two(number: int) -> int:
        return number + 2

    assert compiled == []
    assert (one(1), one(number=2), two(1), two(2)) == (2, 3, 3, 4)
    assert compiled == [("one", {}), ("two", {"dynamic": False})]


def test_the_compiler_is_not_loaded() -> None:
    """Neither bitsandbytes nor what loads it has loaded it; ``torch.compile`` is torch's own again."""
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
