"""The handle of a run: every answer comes from the folder, so any number of handles agree."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.errors import RunFailed, RunNotFound, RunStateError
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.failures import HINTS, build_failure
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.run import Run
from peft_studio.core.services.runs import RunList
from peft_studio.core.spec import Basis, DataRef
from tests.unit.core.runs.test_checkpoints import make as make_checkpoint

REF = DataRef(path="/rows.jsonl", origin="rows.jsonl", format="messages", rows=40, sha256="0" * 64)


class NoCompute:
    """A place that is asked for nothing, and notes when it is."""

    name = "local"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit_job(self, folder: RunFolder, *, from_step: int = 0) -> None:
        self.asked.append(f"submit from {from_step}")
        EventLogWriter(folder.events, job=2).append(ev.JobStarted(pid=1, from_step=from_step))

    def stream_logs(self, folder: RunFolder, *, after: int = 0) -> Iterator[ev.Event]:
        return iter(())

    def stop_job(self, folder: RunFolder, *, save: bool) -> None:
        self.asked.append(f"stop {save}")

    def fetch_artifact(self, folder: RunFolder, name: str, to: Path) -> Path:
        raise AssertionError("nobody asked for a file")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path)


@pytest.fixture
def compute() -> NoCompute:
    return NoCompute()


@pytest.fixture
def make(store: RunStore, compute: NoCompute) -> Callable[..., Run]:
    """A run whose log goes on with these events."""

    def _make(*events: ev.Event, **fields: object) -> Run:
        spec = ExplainedSpec.derive(model="org/base", data=REF, basis=Basis(train_rows=40), **fields)
        folder = store.create(spec)
        log = EventLogWriter(folder.events)
        for event in events:
            log.append(event)
        log.close()
        return Run(folder, store=store, compute=compute, show=lambda run: run.id)

    return _make


JOB = ev.JobStarted(pid=1)
TRAINING = ev.PhaseEntered(phase="training")
ADAPTER = ev.AdapterSaved(path="adapter", step=4, sha256="ab" * 32, size_bytes=5)


def failed(code: str, spec: ExplainedSpec) -> ev.Finished:
    return ev.Finished(state="failed", failure=build_failure(code, "what happened", spec=spec, trace="where", step=3))


def test_metrics_are_one_row_a_step(make: Callable[..., Run]) -> None:
    """The columns that the contract names come first, also when nothing has been logged; others follow."""
    run = make()
    columns = ["step", "time_s", "tokens", "loss", "eval_loss", "learning_rate", "grad_norm"]
    assert list(run.metrics().columns) == columns
    assert len(run.metrics()) == 0
    writer = MetricsWriter(run.folder.metrics)
    writer.log(2, eval_loss=9.0)
    writer.log(1, loss=2.0, tokens=10.0)
    writer.log(2, loss=1.0, extra=7.0)
    frame = run.metrics()
    assert list(frame.columns) == [*columns, "extra"]
    assert list(frame.step) == [1, 2]
    assert list(frame.loss) == [2.0, 1.0]
    assert math.isnan(frame.eval_loss[0])
    assert frame.eval_loss[1] == 9.0


def test_logs_are_filtered_by_level_and_text(make: Callable[..., Run]) -> None:
    """At or above a level, containing a text."""
    run = make(
        *(ev.Logged(level=level, text=f"{level} {n}") for n, level in enumerate(("debug", "info", "warning", "error")))
    )  # type: ignore[arg-type]
    assert len(run.logs()) == 4
    assert [event.text for event in run.logs(level="warning")] == ["warning 2", "error 3"]
    assert [event.text for event in run.logs(contains="info")] == ["info 1"]


def test_events_of_an_ended_run_end(make: Callable[..., Run]) -> None:
    """Following gives what there is, once, and stops."""
    run = make(JOB, TRAINING, ev.Finished(state="stopped"))
    assert [event.seq for event in run.events()] == [1, 2, 3, 4]
    assert [event.seq for event in run.events(after=2)] == [3, 4]
    assert [event.seq for event in run.events(after=9)] == []


def test_events_of_a_lost_run_end(make: Callable[..., Run]) -> None:
    """Nobody will write any more."""
    run = make(JOB, TRAINING)
    assert run.state == "lost"
    assert [event.seq for event in run.events()] == [1, 2, 3]


def test_an_adapter_is_announced_or_there_is_none(make: Callable[..., Run]) -> None:
    """Path, method and digest as announced; before that an error that says what to do."""
    with pytest.raises(RunStateError, match="no adapter") as caught:
        _ = make(JOB, TRAINING).adapter
    assert "run.wait()" in caught.value.hint
    run = make(JOB, ADAPTER, ev.Finished(state="completed"), method="dora")
    assert (run.adapter.path, run.adapter.method, run.adapter.sha256) == (run.folder.adapter, "dora", "ab" * 32)
    assert run.adapter.base_model == "org/base"


@pytest.mark.parametrize("code", sorted(HINTS))
def test_every_failure_is_told_with_ways_on(make: Callable[..., Run], code: str) -> None:
    """Code, message, hint, trace, and suggestions that are whole specs differing from the failed one."""
    spec = make(quantization=None, alpha=512.0, precision="fp16", max_length=512).spec
    run = make(JOB, failed(code, spec), quantization=None, alpha=512.0, precision="fp16", max_length=512)
    failure = run.failure
    assert failure is not None
    assert (failure.code, failure.message, failure.trace, failure.step) == (code, "what happened", "where", 3)
    assert failure.hint == HINTS[code]
    for suggestion in failure.suggestions:
        assert suggestion.title
        assert suggestion.why
        assert suggestion.spec != run.spec
        assert all(getattr(suggestion.spec, name) == value for name, value in suggestion.changes.items())
    with pytest.raises(RunFailed, match="what happened") as caught:
        run.wait(1)
    assert caught.value.hint == failure.hint
    assert code in repr(failure)


def test_memory_suggestions_fit_the_spec(make: Callable[..., Run]) -> None:
    """What cannot be made smaller is not suggested; QLoRA is a spec of its own."""
    run = make(JOB, failed("out_of_memory", make(batch_size=1, gradient_checkpointing=True, max_length=64).spec),
               batch_size=1, gradient_checkpointing=True, max_length=64)  # fmt: skip
    assert run.failure is not None
    assert [way.changes for way in run.failure.suggestions] == [{"method": "qlora", "quantization": "nf4"}]
    assert run.failure.suggestions[0].spec.method == "qlora"


def test_waiting_has_a_limit(make: Callable[..., Run]) -> None:
    """A run that was only just created is still coming."""
    with pytest.raises(TimeoutError, match="still queued"):
        make().wait(0.01)


def test_a_lost_run_is_told_when_waited_for(make: Callable[..., Run]) -> None:
    """With the way on."""
    with pytest.raises(RunFailed, match="lost") as caught:
        make(JOB, TRAINING).wait(5)
    assert "resume" in caught.value.hint


def test_resume_takes_the_newest_whole_checkpoint(make: Callable[..., Run], compute: NoCompute) -> None:
    """Or the one that is named; a live or completed run is not resumed, a step without a checkpoint is refused."""
    run = make(JOB, TRAINING)
    for step in (2, 4, 6):
        make_checkpoint(run.folder.checkpoints, step)
    (run.folder.checkpoints / "checkpoint-6" / "weights").write_bytes(b"torn")
    assert run.checkpoints == [2, 4]
    with pytest.raises(RunStateError, match="step 6"):
        run.resume(from_step=6)
    with pytest.raises(RunStateError, match="step 3") as refused:
        run.resume(from_step=3)
    assert refused.value.hint == "There is one of: 2, 4."
    with pytest.raises(RunStateError) as refused:
        make(JOB, TRAINING, ev.Finished(state="stopped")).resume(from_step=-3)
    assert refused.value.hint.startswith("There is no checkpoint yet")
    run.resume()
    run.resume(from_step=2)
    run.resume(from_step=0)
    assert compute.asked == ["submit from 4", "submit from 2", "submit from 0"]
    for done in (make(JOB, ADAPTER, ev.Finished(state="completed")), make()):
        with pytest.raises(RunStateError, match="nothing to resume"):
            done.resume()
    assert make(JOB, TRAINING, ev.Finished(state="stopped")).resume().state == "lost"


def test_stop_asks_only_a_live_run(make: Callable[..., Run], compute: NoCompute) -> None:
    """An ended or lost one is left alone."""
    for run in (make(JOB, ev.Finished(state="stopped")), make(JOB, TRAINING)):
        run.stop()
    assert compute.asked == []
    make().stop(save=False)
    assert compute.asked == ["stop False"]


def test_delete_takes_everything(make: Callable[..., Run], store: RunStore) -> None:
    """Folder and row; never under a live run."""
    run, live = make(JOB, ev.Finished(state="stopped")), make()
    run.delete()
    assert not run.folder.path.exists()
    assert [row.id for row in store.list_rows()] == [live.id]
    with pytest.raises(RunNotFound):
        store.folder(run.id)
    with pytest.raises(RunStateError, match="queued"):
        live.delete()
    assert live.folder.path.exists()


def test_texts(make: Callable[..., Run], store: RunStore) -> None:
    """A run's repr says state, progress, method and base; a list is a table, escaped in HTML."""
    run = make(JOB, ev.Finished(state="stopped"), name="<b>bold</b>")
    assert repr(run).startswith(f"Run({run.id} '<b>bold</b>': stopped")
    assert "lora on org/base" in repr(run)
    runs = RunList(store.list_rows(), lambda run_id: run)
    assert "stopped" in repr(runs)
    assert "<b>bold" not in runs._repr_html_()
    assert len(runs.to_pandas()) == 1
    assert str(runs.to_pandas().created_at.dtype).endswith("UTC]")
    assert "o runs" in repr(RunList([], lambda run_id: run))


def test_a_figure_of_the_loss(make: Callable[..., Run]) -> None:
    """Raw, smoothed and evaluated, also for a run without a single step."""
    run = make()
    assert len(run.plot().data) >= 1
    writer = MetricsWriter(run.folder.metrics)
    for step in range(1, 30):
        writer.log(step, loss=1.0 / step)
    writer.log(29, eval_loss=0.5)
    assert [trace.name for trace in run.plot().data] == ["loss", "smoothed", "evaluation"]


def test_an_old_machines_last_word_is_no_new_job(make: Callable[..., Run], compute: NoCompute) -> None:
    """The run is live when ``resume`` returns, so that ``wait`` does not tell of its old end."""
    failure = build_failure("machine_lost", "It vanished.", spec=None)
    run = make(ev.JobStarted(pid=1), ev.Finished(state="failed", failure=failure))
    new = ev.MachineRented(provider="alpha", label="ps-2", gpu="L4", usd_per_hour="0.39")
    said: list[threading.Thread] = []

    def submit(folder: RunFolder, *, from_step: int = 0) -> None:
        EventLogWriter(folder.events).append(ev.MachineGone(label="ps-1", why="vanished"))
        said.append(threading.Timer(0.3, lambda: EventLogWriter(folder.events).append(new)))
        said[0].start()

    compute.submit_job = submit  # type: ignore[method-assign]
    assert run.resume().read()[0].state == "provisioning"
    said[0].join()
