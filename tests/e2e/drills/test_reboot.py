"""Drill: the host of a machine fails and starts it anew, in the middle of a run. It goes on there from its last checkpoint, and nobody is asked."""

from __future__ import annotations

import pytest

from peft_studio.core.runs.checkpoints import find_newest
from tests.e2e.drills.drill import LONG, SEALED, Clock, Drill, told, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.stress]


@pytest.mark.parametrize("drill", SEALED[-1:], indirect=True)
def test_a_machine_that_starts_anew_goes_on(drill: Drill) -> None:
    """At Lambda, where a machine is a whole computer: its brakes, its door and its run are there again, and it is the same machine."""
    run = drill.launch(drill.client(), **LONG)
    wait_for(lambda: run.checkpoints, "a checkpoint at home", timeout_s=300)
    [rented] = drill.cloud.rented
    drill.cloud.reboot(rented)
    began, newest = Clock(), find_newest(drill.there(run)[0].checkpoints)
    wait_for(lambda: told(run).count("job_started") == 2, "its start there", timeout_s=120)
    print(f"it went on {began.s:.1f} s after its machine had started anew")
    run.wait(timeout=400)
    assert run.read()[0].from_step == newest
    drill.check_all_is_well(run)
