"""A quote says memory, time and dollars of a spec with their ranges, fits them to the device, and learns from what happened."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.compute import BillingRules, Electricity
from peft_studio.core.errors import SpecError
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.runs.prediction import find_prediction, save_prediction
from peft_studio.core.services import device_speed
from peft_studio.core.services.outcomes import find_record
from tests.speed import MEASURED, write_speed
from tests.tiny import write_rows, write_tokenizer


@pytest.fixture
def light(tmp_path: Path) -> Studio:
    """A studio in whose home this machine has been measured."""
    return Studio(home=write_speed(tmp_path / "home"))


@pytest.fixture
def spec_of(light: Studio, tmp_path: Path) -> Callable[..., Any]:
    folder = tmp_path / "model"
    folder.mkdir()
    size = write_tokenizer(folder)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": size, "max_position_embeddings": 512, "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    data = light.data(str(write_rows(tmp_path / "rows.jsonl", 200)), split=0.1)
    return lambda **fields: light.spec(**{"model": str(folder), "data": data, "precision": "fp32", **fields})


def finish(light: Studio, spec: Any, *, slower: float = 1.0, memory_bytes: float = 9e8) -> RunFolder:
    """A run that was predicted and has completed, its training so many times slower than predicted."""
    quote = light.quote(spec)
    folder = light._store().create(spec)
    save_prediction(folder, quote.prediction)
    raw = quote.prediction.raw
    log = EventLogWriter(folder.events)
    plan = ev.Planned(
        total_steps=10, steps_per_epoch=10, train_rows=180, eval_rows=20, trainable_parameters=1, total_parameters=2, device="cpu",
        precision="fp32", loop="fast", loop_reason="",
    )  # fmt: skip
    for event in (
        ev.JobStarted(pid=1), ev.PhaseEntered(phase="queued"), ev.Environment(facts={}), ev.PhaseEntered(phase="loading"), plan,
        ev.PhaseEntered(phase="training"), ev.PhaseEntered(phase="saving"), ev.AdapterSaved(path="a", step=10, sha256="", size_bytes=1),
        ev.Finished(state="completed"),
    ):  # fmt: skip
        log.append(event)
    log.close()
    # The log stamps its own times: put the phases where this run is to have had them.
    lines, clock = [json.loads(line) for line in folder.events.read_text().splitlines()], 1.8e9
    for line in lines:
        line["at"] = clock
        clock += (
            raw["training"] * slower
            if line.get("phase") == "training"
            else raw["set-up"]
            if line.get("phase") == "loading"
            else 0.0
        )
    folder.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    MetricsWriter(folder.system).log(0, rss_bytes=memory_bytes)
    return folder


def test_a_quote_is_whole(light: Studio, spec_of: Callable[..., Any]) -> None:
    """Memory, time and cost, each a value in its range with its basis; the badge with its sentence."""
    quote = light.quote(spec_of())

    assert quote.memory is not None
    assert quote.duration is not None
    assert quote.cost is not None
    assert (quote.memory.unit, quote.duration.unit, quote.cost.unit) == ("bytes", "s", "usd")
    assert quote.cost.value == Decimal(0)
    assert {"set-up", "training", "evaluation", "saving"} <= set(quote.duration.parts)
    assert "download" not in quote.duration.parts
    assert quote.fit in {"ok", "tight", "wont-fit"}
    assert quote.sentence.startswith("needs ")
    assert repr(quote).splitlines()[0].endswith(quote.sentence)
    assert "measured here" in repr(quote)
    assert "<table" in quote._repr_html_()
    assert quote.sentence in quote.summary


def test_it_is_quick_after_the_first(light: Studio, spec_of: Callable[..., Any]) -> None:
    """A panel asks on every key: the least of five takes less than 50 ms."""
    spec = spec_of()
    light.quote(spec)

    def timed() -> float:
        began = time.perf_counter()
        light.quote(spec.replace(rank=8))
        return time.perf_counter() - began

    assert min(timed() for _ in range(5)) < 0.05


def test_what_is_not_known_is_said(light: Studio, spec_of: Callable[..., Any]) -> None:
    """Without a measurement time is None with a reason; a model that is not here has no memory either."""
    spec = spec_of()
    device_speed.forget_speed(light.home)

    unmeasured = light.quote(spec, measure=False)
    elsewhere = light.quote(spec.replace(model="org/not-here"), measure=False)

    assert unmeasured.memory is not None
    assert unmeasured.duration is unmeasured.cost is None
    assert "not known yet" in " ".join(unmeasured.notes)
    assert elsewhere.memory is None
    assert elsewhere.fit == "unknown"
    assert "—" in repr(elsewhere)


def test_another_machine_is_not_believed(light: Studio, spec_of: Callable[..., Any]) -> None:
    """A measurement of another CPU, or of another torch, counts for nothing."""
    path = light.home / device_speed.FILE
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "machine": {**record["machine"], "cpu": "another"}}))

    assert device_speed.find_speed(light.home) is None
    path.write_text("{")
    assert device_speed.find_speed(light.home) is None


def test_a_card_of_the_table(light: Studio, spec_of: Callable[..., Any]) -> None:
    """A rented card is quoted by its data sheet; dollars need an offer's rules."""
    spec = spec_of()

    plain = light.quote(spec, "RTX 4090")
    priced = light.quote(spec, "RTX 4090", rules=BillingRules(Decimal("0.69"), 1))

    assert plain.duration is not None
    assert "data sheet" in plain.duration.basis
    assert plain.duration.parts["download"]
    assert plain.device_bytes == 24 * 2**30
    assert plain.cost is None
    assert priced.cost is not None
    assert priced.cost.value > 0
    with pytest.raises(SpecError, match="no compute"):
        light.quote(spec, "RTX 4099")


def test_electricity_is_the_owners_to_say(light: Studio, spec_of: Callable[..., Any]) -> None:
    """Watts and price given: that is the cost."""
    quote = light.quote(spec_of(), electricity=Electricity(200, Decimal("0.35")))

    assert quote.cost is not None
    assert quote.cost.value > 0


def test_a_run_that_took_longer_teaches(light: Studio, spec_of: Callable[..., Any]) -> None:
    """Predicted beside actual; the next quote is corrected, says so, and its raw prediction stays as it was."""
    spec = spec_of()
    before = light.quote(spec)
    folder = finish(light, spec, slower=2.0)

    record, after, accuracy = find_record(folder), light.quote(spec), light.accuracy()

    assert record is not None
    assert record.actual.seconds["training"] == pytest.approx(2 * before.prediction.raw["training"], rel=1e-3)
    assert record.actual.memory_bytes == 9e8
    assert before.duration is not None
    assert after.duration is not None
    assert float(after.duration.parts["training"]) == pytest.approx(
        2 ** (1 / 3) * float(before.duration.parts["training"]), rel=1e-3
    )
    assert "by 1 finished run here" in after.duration.basis
    assert after.prediction.raw == before.prediction.raw
    assert folder.id in repr(accuracy)
    assert "training" in repr(accuracy)
    assert list(accuracy.to_pandas()["run"]) == [folder.id]
    assert "<table" in accuracy._repr_html_()


def test_other_devices_and_methods_stay_uncorrected(light: Studio, spec_of: Callable[..., Any]) -> None:
    """What LoRA here took says nothing of DoRA here or of LoRA on a card."""
    finish(light, spec_of(), slower=3.0)

    for quote in (light.quote(spec_of(method="dora")), light.quote(spec_of(), "RTX 4090")):
        assert quote.duration is not None
        assert "corrected" not in quote.duration.basis


def test_reset_forgets_and_deleting_does_not_break(light: Studio, spec_of: Callable[..., Any]) -> None:
    """After a reset quotes are as at first, runs and predictions stay; a deleted run or index leaves the rest readable."""
    spec = spec_of()
    first, second = finish(light, spec, slower=2.0), finish(light, spec, slower=2.0)
    assert len(light.accuracy()) == 2
    light.run(first.id).delete()
    for path in light.home.glob("*.sqlite*"):
        path.unlink()
    assert len(light.accuracy()) == 1

    empty = light.accuracy().reset()

    assert len(empty) == 0
    assert "uncorrected" in repr(empty)
    assert find_prediction(second) is not None
    quote = light.quote(spec)
    assert quote.duration is not None
    assert "corrected" not in quote.duration.basis


def test_stopped_and_resumed_runs_teach_nothing(light: Studio, spec_of: Callable[..., Any]) -> None:
    """Only a run that completed in one go is a measurement."""
    folder = finish(light, spec_of())
    text = folder.events.read_text()
    folder.events.write_text(text.replace('"completed"', '"stopped"'))
    assert len(light.accuracy()) == 0
    folder.events.write_text(text.replace('"job": 1', '"job": 2'))
    assert len(light.accuracy()) == 0


def test_a_disturbed_measurement_is_made_again_by_the_next_process(
    light: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves meanwhile, with a wide range, and says why; a quiet one replaces it."""
    device_speed.forget_speed(light.home)
    monkeypatch.setattr(device_speed, "run_worker", lambda arguments, progress: {"speed": {**MEASURED, "cpu_s": -1e6}})
    said: list[str] = []
    busy = device_speed.ensure_speed(light.home, said.append)
    assert said == [device_speed.MEASURING]
    monkeypatch.setattr(device_speed, "run_worker", lambda arguments, progress: {"speed": {**MEASURED, "cpu_s": 1e6}})

    assert busy is not None
    assert busy.disturbed
    assert "while others took" in busy.basis
    assert device_speed.ensure_speed(light.home, pytest.fail) == busy == device_speed.find_speed(light.home)
    monkeypatch.setattr(device_speed, "_MEASURED", set())
    quiet = device_speed.ensure_speed(light.home)
    assert quiet is not None
    assert not quiet.disturbed
    assert quiet.spread.high < busy.spread.high


def test_of_two_disturbed_measurements_the_quicker_stays(light: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disturbance makes times longer, never shorter."""
    device_speed.forget_speed(light.home)

    def measured(imports_s: float) -> Any:
        monkeypatch.setattr(device_speed, "_MEASURED", set())
        answer = {"speed": {**MEASURED, "imports_s": imports_s, "cpu_s": -1e6}}
        monkeypatch.setattr(device_speed, "run_worker", lambda arguments, progress: answer)
        return device_speed.ensure_speed(light.home)

    assert [measured(seconds).imports_s for seconds in (9.0, 20.0, 6.0)] == [9.0, 9.0, 6.0]
