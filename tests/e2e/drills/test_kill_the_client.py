"""Drill: the user's process, and the one that watches for him, are killed at chosen moments. One machine, all of it home, and it is gone."""

from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.services.run import Run
from tests.e2e.drills.drill import BUY, LONG, SEALED, Drill, phases, steps, wait_for

pytestmark = pytest.mark.slow
MOMENTS = ("create", "boot", "training", "fetching")
OTHERS = [pytest.param("runpod", moment, marks=pytest.mark.stress) for moment in MOMENTS if moment != "training"]


def sealed(*moments: str) -> list[Any]:
    """These moments at the other providers, where the network cannot tell what is being fetched."""
    return [pytest.param(*one.values, moment, marks=one.marks) for one in SEALED for moment in moments]


def launch_until(drill: Drill, moment: str) -> Run:
    """Launch, and come back in the middle of it; the user's process is killed by then."""
    if moment == "create":
        drill.cloud.held = BUY[drill.provider]
    if moment == "fetching":
        drill.relay.stop_at = b"/digest/adapter/"
    client = drill.client()
    run = drill.launch(client, **LONG)
    if moment == "create":
        assert drill.cloud.reached.wait(60)
    elif moment == "boot":
        wait_for(lambda: "sending" in phases(run), "the machine's door", timeout_s=60)
    elif moment == "training":
        wait_for(lambda: len(steps(run.folder)) >= 3, "three steps", timeout_s=300)
    else:
        assert drill.relay.reached.wait(300)
    client.kill()
    return run


def let_go(drill: Drill) -> None:
    """What was held goes on, its reply lost."""
    drill.cloud.held = ""
    drill.cloud.release.set()
    drill.relay.mend(forget=True)


@pytest.mark.stress
@pytest.mark.parametrize(
    ("drill", "moment"), [*(("runpod", moment) for moment in MOMENTS), *sealed("training")], indirect=["drill"]
)
def test_the_process_that_watches_goes_on_alone(drill: Drill, moment: str) -> None:
    """The notebook is killed and nobody ever comes back: the run is completed and the machine gone all the same."""
    run = launch_until(drill, moment)
    let_go(drill)
    run.wait(timeout=400)
    drill.check_all_is_well(run)


@pytest.mark.parametrize(
    ("drill", "moment"), [("runpod", "training"), *OTHERS, *sealed("create", "boot", "training")], indirect=["drill"]
)
def test_a_new_process_takes_the_machine_over(drill: Drill, moment: str) -> None:
    """Notebook and watcher are killed together; whoever opens the home next and connects goes on where they stood."""
    run = launch_until(drill, moment)
    drill.kill_watchers()
    let_go(drill)
    drill.client()
    wait_for(drill.watchers, "a watcher")
    run.wait(timeout=400)
    drill.check_all_is_well(run)
