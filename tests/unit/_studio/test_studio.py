"""The face as a whole."""

from __future__ import annotations

import inspect
import subprocess
import sys

from peft_studio import Studio


def test_every_public_name_says_what_it_does() -> None:
    """Also one that a later chapter overrides; and `help` shows its whole signature."""
    names = [name for name in dir(Studio) if not name.startswith("_")]
    assert "launch" in names
    assert not [name for name in names if not (inspect.getattr_static(Studio, name).__doc__ or "").strip()]
    assert {"compute", "max_usd", "idle_minutes"} <= set(inspect.signature(Studio.launch).parameters)


def test_the_package_runs_as_the_command_does() -> None:
    """`python -m peft_studio`."""
    done = subprocess.run([sys.executable, "-m", "peft_studio", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: peft-studio")
