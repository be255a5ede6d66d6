"""``peft-studio sweep`` on a sweep that is there: table and verdict, or that there is none of that id."""

from __future__ import annotations

from pathlib import Path

from peft_studio.core.spec import RunSpec
from tests.unit.cli.homes import peft_studio, write_run

SWEEP = "s-20261105-075959-000000"


def test_a_sweep_is_found_by_its_id(tmp_path: Path) -> None:
    """Both rates learnt the same, so no winner is named; a run without the tag is none of it."""
    for number, rate in enumerate((1e-4, 3e-4)):
        folder = write_run(tmp_path, f"r-20261105-08000{number}-00000a", name=f"rate {rate:g}", end="completed")
        spec = RunSpec.from_json(folder.spec.read_text())
        folder.spec.write_text(spec.model_copy(update={"learning_rate": rate, "tags": (f"sweep:{SWEEP}",)}).to_json())
    write_run(tmp_path, "r-20261105-080005-00000a", name="another", end="completed")
    said = peft_studio("sweep", SWEEP, home=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("completed") == 2
    assert "No clear winner" in said.stdout


def test_an_unknown_sweep_is_said(tmp_path: Path) -> None:
    """With a way on, and status 1."""
    said = peft_studio("sweep", SWEEP, home=tmp_path)
    assert said.returncode == 1
    assert "There is no sweep" in said.stderr
    assert "→" in said.stderr
