"""What brake 1 reads of a run's log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peft_studio.runner.node.lease import Signs


@pytest.mark.parametrize(
    ("said", "ended"),
    [
        (["created", "job_started", "finished"], True),
        (["created", "job_started", "finished", "machine_gone"], True),
        (["created", "job_started", "finished", "machine_gone", "machine"], False),
        (["finished", "machine", "job_started", "log"], False),
        (["finished", "machine", "job_started", "finished", "log"], True),
    ],
)
def test_a_log_that_came_with_a_resumed_run_is_not_one_that_has_ended(
    tmp_path: Path, said: list[str], ended: bool
) -> None:
    """Else a machine whose agent never starts waits as long as one that has files to fetch."""
    (tmp_path / "events.jsonl").write_text("".join(json.dumps({"type": kind}) + "\n" for kind in said))
    signs = Signs(tmp_path, tmp_path)
    signs.of_training()
    assert signs.has_ended is ended
