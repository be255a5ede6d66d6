"""What goes wrong in a run, each time really made to go wrong: the right word for it, where, why, and a way on that can be launched."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from peft_studio import Studio
from peft_studio.core.errors import NotReadyError, RunFailed
from peft_studio.core.services.run import Run
from tests.conftest import end_processes_of, wait_for
from tests.e2e.evidence import last_step, processes
from tests.tiny import build_rows, write_model, write_rows

pytestmark = pytest.mark.slow
MakeSpec = Callable[..., Any]


def fails(run: Run, code: str, said: str) -> Run:
    """Wait for the failure and check what every failure must have."""
    with pytest.raises(RunFailed, match=said) as caught:
        run.wait(300)
    assert run.state == "failed"
    failure = run.failure
    assert failure is not None
    assert failure.code == code, failure
    assert failure.hint
    assert failure.hint == caught.value.hint
    assert failure.trace
    assert code in repr(failure)
    with pytest.raises(Exception, match="no adapter"):
        _ = run.adapter
    return run


def launch_unchecked(studio: Studio, spec: Any) -> Run:
    """Start a run that preflight would not let through."""
    run = studio._run(studio._store().create(spec).id)
    studio._compute().submit_job(run.folder)
    return run


def ways_on(studio: Studio, run: Run) -> list[dict[str, object]]:
    """The suggestions' changes, after seeing that each is a spec that is ready."""
    assert run.failure is not None
    for suggestion in run.failure.suggestions:
        assert suggestion.spec != run.spec
        assert studio.check(suggestion.spec).ready
    return [suggestion.changes for suggestion in run.failure.suggestions]


def test_a_loss_that_is_no_number(studio: Studio, make_spec: MakeSpec, tiny_model: Path, tmp_path: Path) -> None:
    """A model with a NaN among its weights: failed at the first step, with a lower rate to try, and no checkpoint of nonsense."""
    import torch
    from safetensors.torch import load_file, save_file

    poisoned = shutil.copytree(tiny_model, tmp_path / "poisoned")
    weights = load_file(poisoned / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][0, 0] = torch.nan
    save_file(weights, poisoned / "model.safetensors", metadata={"format": "pt"})
    for loop in ("reference", "auto"):
        run = fails(studio.launch(make_spec(model=str(poisoned), loop=loop)), "loss_not_finite", "nan")
        assert run.failure is not None
        assert run.failure.step == 1
        assert run.checkpoints == []
        assert {"learning_rate": pytest.approx(1e-3)} in ways_on(studio, run)


def test_a_loss_that_explodes_is_stopped_and_its_cure_works(studio: Studio, make_spec: MakeSpec) -> None:
    """A learning rate near 1 without clipping: the run ends by itself as exploded or not finite, and the suggestion trains."""
    wild = make_spec(
        learning_rate=0.99,
        max_grad_norm=1e6,
        max_steps=200,
        save_steps=50,
        alpha=64,
        target_modules=("lm_head", "q_proj"),  # behind the last norm nothing holds the logits back
        lr_scheduler="constant",
        warmup_ratio=0.0,
    )
    run = studio.launch(wild)
    with pytest.raises(RunFailed, match=r"loss|gradient|overflow"):
        run.wait(300)
    assert run.failure is not None
    assert run.failure.code in {"loss_exploded", "loss_not_finite"}
    assert len(ways_on(studio, run)) >= 2
    calm = run.failure.suggestions[1].spec.replace(learning_rate=1e-3, max_steps=4, max_grad_norm=1.0)
    assert studio.launch(calm).wait(300).state == "completed"


def test_out_of_memory(studio: Studio, make_spec: MakeSpec, tmp_path: Path) -> None:
    """A trainer whose longest micro-batch needs more memory than it may have: the probe says so, with less at once as the way on."""
    rows = write_rows(tmp_path / "many.jsonl", 4096)
    run = studio.launch(
        make_spec(data=str(rows), batch_size=2048, max_length=256, probe=True)
    )  # a step takes seconds, and over a GB
    wait_for(lambda: run.read()[0].plan is not None, "the plan, which comes just before the probe")
    (trainer,) = processes(run, "train")
    most = trainer.memory_info().vms + 400 * 2**20  # room for threads, not for the step
    trainer.rlimit(psutil.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    fails(run, "out_of_memory", "The probe before the run went out of memory")
    assert last_step(run) == 0
    changes = ways_on(studio, run)
    assert changes[0] == {"batch_size": 1024, "gradient_accumulation_steps": 4}
    assert {"gradient_checkpointing": True} in changes


@pytest.fixture
def small_studio(tmp_path: Path) -> Iterator[Studio]:
    """A studio whose home is a disk of 3 MB."""
    home = tmp_path / "small disk"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(home)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root on Linux to mount a small disk")
    yield Studio(home=home)
    end_processes_of(home)
    subprocess.run(["umount", "-l", str(home)], check=True)


@pytest.mark.parametrize("at", ["checkpoint", pytest.param("metrics", marks=pytest.mark.stress)])
def test_a_full_disk(small_studio: Studio, make_spec: MakeSpec, at: str) -> None:
    """Room runs out while a checkpoint or a row of numbers is written: said so, the last whole checkpoint kept, resumed once there is room."""
    fields = {"keep_checkpoints": 50} if at == "checkpoint" else {"save_steps": 400}
    run = launch_unchecked(small_studio, make_spec(**{"max_steps": 400, "save_steps": 2, "rank": 8, **fields}))
    wait_for(lambda: last_step(run) >= 3 or run.state == "failed", "the third step")
    filler = small_studio.home / "filler"
    if at == "metrics":
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
    fails(run, "disk_full", "disk is full")
    assert run.folder.events.read_bytes().endswith(b"\n")
    assert run.failure is not None
    assert [one.changes for one in run.failure.suggestions] == [{"keep_checkpoints": 1}]
    assert not small_studio.check(run.spec).ready  # preflight would have said so
    assert small_studio.runs(status="failed")[0].id == run.id
    if at == "checkpoint":
        kept = run.checkpoints
        assert kept
        for step in kept[:-1]:
            shutil.rmtree(run.folder.checkpoints / f"checkpoint-{step}")
        run.resume()
        wait_for(lambda: last_step(run) > kept[-1], "a step after the room was made")
        run.stop(save=False)
        run.wait(60)
    filler.unlink(missing_ok=True)


def test_the_model_goes_after_the_launch(studio: Studio, make_spec: MakeSpec, tmp_path: Path) -> None:
    """A deleted folder, and one whose weights are torn."""
    gone, torn = write_model(tmp_path / "gone"), write_model(tmp_path / "torn")
    specs = [make_spec(model=str(gone)), make_spec(model=str(torn))]
    shutil.rmtree(gone)
    weights = torn / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    runs = [launch_unchecked(studio, spec) for spec in specs]
    fails(runs[0], "model_missing", "gone")
    fails(runs[1], "model_missing", "torn|cannot be loaded|incomplete")


def test_the_data_changes_after_the_launch(studio: Studio, make_spec: MakeSpec, tmp_path: Path) -> None:
    """Rows other than those that were checked are not trained on; a file that is gone is named."""
    path = write_rows(tmp_path / "rows.jsonl", 44)
    first = studio.launch(
        make_spec(data=str(path), max_steps=5000, save_steps=5000)
    )  # holds the device while the data changes
    wait_for(lambda: first.state == "training", "the first run")
    second, third = studio.launch(make_spec(data=str(path))), studio.launch(make_spec(data=str(path)))
    path.write_text(path.read_text().replace("Turin", "Milan"))
    first.stop(save=False)
    fails(second, "data_changed", "rows.jsonl")
    path.unlink()
    fails(third, "data_changed", "rows.jsonl")
    path.write_text("")


def test_rows_without_a_token_to_learn(studio: Studio, make_spec: MakeSpec, tmp_path: Path) -> None:
    """Preflight refuses them; past it the run says so too, and does not blame the learning rate."""
    rows = [{"prompt": "Please send lamps. " * 40, "completion": "ok"} for _ in range(8)]
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = make_spec(data=str(path), max_length=32)
    with pytest.raises(NotReadyError):
        studio.launch(spec)
    run = studio._run(studio._store().create(spec).id)
    studio._compute().submit_job(run.folder)
    fails(run, "no_trainable_tokens", "No row has a token to learn from")


def test_a_few_rows_without_a_token_to_learn_do_no_harm(studio: Studio, make_spec: MakeSpec, tmp_path: Path) -> None:
    """Alone in their micro-batch and their step they teach nothing; they are no reason for a NaN."""
    rows = build_rows(12)
    for row in rows[::3]:
        row["prompt"] = "Please send lamps. " * 40
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = make_spec(
        data=str(path), max_length=96, batch_size=1, gradient_accumulation_steps=1, max_steps=12, save_steps=12
    )
    for loop in ("reference", "auto"):
        run = studio._run(studio._store().create(spec.replace(loop=loop)).id)
        studio._compute().submit_job(run.folder)
        assert run.wait(300).state == "completed"


def test_a_template_that_does_not_work(studio: Studio, make_spec: MakeSpec, tmp_path: Path) -> None:
    """Preflight or, past it, the run names the template."""
    model = write_model(tmp_path / "broken template")
    spec = make_spec(model=str(model))
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m['role'] ")
    run = studio._run(studio._store().create(spec).id)
    studio._compute().submit_job(run.folder)
    with pytest.raises(RunFailed, match="template"):
        run.wait(300)
    assert run.failure is not None
    assert run.failure.code == "bad_template"


def test_others_in_the_line_go_on(studio: Studio, make_spec: MakeSpec, tmp_path: Path) -> None:
    """One of three fails, one is killed: the third trains, and the list says how each ended."""
    gone = write_model(tmp_path / "gone too")
    killed = studio.launch(make_spec(max_steps=5000, save_steps=5000, name="killed"))
    wait_for(lambda: last_step(killed) >= 1, "the first step")
    second, third = studio.launch(make_spec(model=str(gone), name="bad")), studio.launch(make_spec(name="third"))
    shutil.rmtree(gone)
    wait_for(lambda: second.read()[0].phases and third.read()[0].phases, "both in the line")
    assert (second.state, third.state) == ("queued", "queued")
    os.kill(processes(killed, "train")[0].pid, 9)
    assert third.wait(300).state == "completed"
    assert {run.spec.name: run.state for run in studio.runs()} == {
        "killed": "failed",
        "bad": "failed",
        "third": "completed",
    }


def test_a_broken_installation_is_a_failure(
    studio: Studio, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package that raises on import: the run fails with its trace instead of dying without a word."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "peft.py").write_text("raise ImportError('peft is broken here')")
    spec = make_spec()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    run = fails(studio.launch(spec), "unexpected", "peft is broken here")
    assert run.failure is not None
    assert "ImportError" in run.failure.trace
