"""Python as a cell runs it, here or in a process of its own: statements, and the value of the last line."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_FRESH = """
import json, sys
from tests.cells import run_cell
code, probe = json.load(sys.stdin)
names, value = run_cell(code)
print("\\n" + json.dumps(eval(probe, {**names, "value": value})))
"""


def run_cell(code: str) -> tuple[dict[str, Any], Any]:
    """The names it has bound, and the value of its last line where that is an expression."""
    tree, names, value = ast.parse(code), dict[str, Any](), None
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return names, value


def run_fresh(code: str, probe: str, *, home: Path | None = None) -> tuple[str, Any]:
    """Run it in a new process whose home is another. Gives what it printed, and the value of ``probe`` after it."""
    env = {**os.environ, "PEFT_STUDIO_HOME": str(home)} if home else None
    done = subprocess.run(
        [sys.executable, "-c", _FRESH], input=json.dumps([code, probe]), capture_output=True, text=True, timeout=300,
        env=env, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed, _, answer = done.stdout.rstrip().rpartition("\n")
    return printed.strip(), json.loads(answer)
