"""What travels to a machine: our package as it is here, files under names that the door takes, a spec with the paths it has there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from peft_studio import __version__
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.luggage import build_package, pack, write_spec
from peft_studio.core.spec import RunSpec
from tests.unit.core.runs.conftest import build_spec


def test_the_package_runs_by_itself_and_is_the_same_twice(tmp_path: Path) -> None:
    """Unpacked somewhere else it gives the runner and its version; panels and connectors stay at home."""
    package = build_package(tmp_path / "a.whl")
    assert package.read_bytes() == build_package(tmp_path / "b.whl").read_bytes()
    assert package.stat().st_size < 2_000_000
    with zipfile.ZipFile(package) as file:
        names = file.namelist()
        file.extractall(tmp_path / "there")
    assert not [name for name in names if "widgets" in name or "connectors" in name or "__pycache__" in name]
    code = (
        "import peft_studio, peft_studio.runner.agent.agent as agent, importlib.metadata as m; "
        "print(peft_studio.__file__, m.version('peft-studio'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "there")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(tmp_path / "there" / "peft_studio" / "__init__.py"), __version__], done.stderr


def test_a_spec_reads_there_as_here(tmp_path: Path) -> None:
    """Only the places of rows and base model differ; a model of the hub keeps its name."""
    rows = tmp_path / "orders.jsonl"
    rows.write_text("{}\n")
    plain = build_spec()
    spec = plain.model_copy(update={"data": plain.data.model_copy(update={"path": str(rows)})})
    moved = RunSpec.from_json(write_spec(spec, tmp_path / "spec.json", there="/m/runs/r-1", model=tmp_path).read_text())
    assert moved.data.path == "/m/runs/r-1/data/rows.jsonl"
    assert moved.model == "/m/runs/r-1/model"
    back = moved.model_copy(update={"data": spec.data, "model": spec.model})
    assert back == spec
    hub = RunSpec.from_json(write_spec(spec, tmp_path / "spec.json", there="/m/runs/r-1").read_text())
    assert hub.model == spec.model


def test_a_run_takes_along_what_it_has(tmp_path: Path) -> None:
    """Rows, a base model, log and checkpoints; what begins with a dot is nobody's."""
    rows = tmp_path / "rows"
    (rows / "part").mkdir(parents=True)
    (rows / "part" / "a.parquet").touch()
    (rows / ".cache").touch()
    model = tmp_path / "base"
    model.mkdir()
    (model / "config.json").touch()
    plain = build_spec()
    folder = RunStore(tmp_path / "home").create(
        plain.model_copy(update={"data": plain.data.model_copy(update={"path": str(rows)})})
    )
    (folder.checkpoints / "checkpoint-2").mkdir(parents=True)
    (folder.checkpoints / "checkpoint-2" / "MANIFEST.json").touch()
    (folder.checkpoints / ".aside").mkdir()
    (folder.checkpoints / ".aside" / "half").touch()
    assert [item.name for item in pack(folder, model=model)] == [
        "data/rows/part/a.parquet", "model/config.json", "events.jsonl", "checkpoints/checkpoint-2/MANIFEST.json",
    ]  # fmt: skip
