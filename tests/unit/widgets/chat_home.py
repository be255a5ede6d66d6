"""A home with completed runs on a tiny model: their folders are written, their adapters are real."""

from __future__ import annotations

from pathlib import Path

from tests.ui.write_run import RunWriter, build_spec
from tests.unit.runner.trainer.tiny_model import save_adapter


def write_completed_run(
    home: Path, model: Path, *, name: str, seed: int, number: int = 1, state: str = "completed", saved: bool = True
) -> str:
    """Write the folder of a run that has ended, with a random adapter where it is ``saved``; gives its id."""
    run_id = f"r-20261122-20341{number}-9f31ac"
    writer = RunWriter(home / "runs" / run_id, build_spec(name=name).model_copy(update={"model": str(model)}))
    writer.begin()
    writer.train(3)
    if saved:
        save_adapter(model, writer.folder.path / "adapter", seed=seed)
    writer.end(state, saved=saved)
    return run_id
