"""What a machine does for a job."""

from __future__ import annotations

import os
import subprocess
import sys

from peft_studio.runner.agent.vitals import Vitals


def test_one_of_several_that_died_at_once_is_left_out() -> None:
    """Whoever watches them must live to say so."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert Vitals(dead.pid, os.getpid()).sample()["rss_bytes"] > 0
    assert Vitals(dead.pid).sample()["rss_bytes"] == 0
