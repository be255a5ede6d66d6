"""What only a real NVIDIA GPU can show. Without one these tests are skipped; ``python -m pytest tests/gpu`` on a machine that has one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.device import find_device, find_free_bytes, find_gpus
from peft_studio.core.errors import RunFailed
from peft_studio.core.ports import OfferQuery
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.services.rent.limits import LAG_VARIABLE
from peft_studio.core.services.run import Run
from tests.conftest import wait_for
from tests.e2e.evidence import jobs_of, last_step, numbers_of, processes, weights_of
from tests.emulators.machine import Machines
from tests.emulators.providers import KEYS, count_left, serve
from tests.tiny import build_rows, write_rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_device().kind != "cuda", reason="this machine has no NVIDIA GPU"),
]
MakeSpec = Callable[..., Any]
WIDE = {  # a model of few weights whose logits are wide: 80 GB are full at a few dozen rows
    "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
    "vocab_size": 131072, "max_position_embeddings": 8192, "tie_word_embeddings": True,
}  # fmt: skip


def planned(run: Run) -> ev.Planned:
    """What the trainer has said before its first step."""
    return next(event for event in read_events(run.folder.events) if isinstance(event, ev.Planned))


def most_seen(run: Run, figure: str) -> float:
    """The most that the machine's vitals ever said."""
    return max((row.values.get(figure, 0.0) for row in read_metrics(run.folder.system)), default=0.0)


def test_the_card_is_found() -> None:
    """Name, memory and what is free, without torch; and torch agrees."""
    import torch

    from peft_studio.core.compute import find_gpu

    [(name, memory), *_] = find_gpus()
    there = torch.cuda.get_device_properties(0)
    assert (name, find_device().bf16) == (there.name, there.major >= 8)
    assert memory == pytest.approx(there.total_memory, rel=0.03)  # the driver keeps some to itself
    free = find_free_bytes()
    assert free is not None
    assert 0 < free <= memory
    assert find_gpu(name), f"{name} is in no row of core/compute/gpus.py"


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "lora"},
        {"method": "lora", "packing": True, "gradient_checkpointing": True},
        {"method": "lora", "optimizer": "paged_adamw_8bit"},
        {"method": "dora", "precision": "fp32"},
        {"method": "pissa", "dropout": 0.0},
        {"method": "qlora", "quantization": "nf4"},
        {"method": "qlora", "quantization": "int4", "precision": "fp16"},
        {"method": "qlora", "quantization": "int8"},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_a_run_trains_there(
    studio: Studio, make_spec: MakeSpec, tiny_model: Path, tmp_path: Path, fields: dict[str, Any]
) -> None:
    """Trained and measured on the GPU, its adapter whole; plain peft loads it, and chat answers with it there."""
    rows = write_rows(tmp_path / "rows.jsonl", 400)
    spec = make_spec(data=str(rows), precision="bf16" if find_device().bf16 else "fp16").replace(
        max_steps=60, save_steps=30, **fields
    )
    assert studio.check(spec).ready, studio.check(spec)
    run = studio.launch(spec).wait(300)
    assert (run.state, planned(run).device) == ("completed", "cuda")
    losses = run.metrics()["loss"].dropna()
    assert losses.iloc[-10:].mean() < losses.iloc[:10].mean()
    probe = run.read()[0].probe
    assert probe is not None
    assert probe.allocated_bytes
    assert most_seen(run, "gpu_memory_bytes") >= probe.allocated_bytes
    with studio.chat(str(tiny_model), adapters={"mine": run.adapter}) as chat:
        assert chat.ask(build_rows(1)[0]["prompt"], adapter="mine", max_new_tokens=8).memory_bytes
        assert str(chat.stats()["device"]).startswith("cuda")


def test_killed_and_resumed_is_left_alone(studio: Studio, make_spec: MakeSpec) -> None:
    """SIGKILL in the middle, then a resume: the numbers of every step, and the adapter to the byte."""
    spec = make_spec(max_steps=40, save_steps=4, dropout=0.1, probe=False, loop="reference")
    alone = studio.launch(spec).wait(300)
    run = studio.launch(spec)
    wait_for(lambda: last_step(run) >= 9, "step 9")
    for process in processes(run, "train"):
        process.kill()
    wait_for(lambda: run.state == "failed", "the end of the job", timeout_s=60)
    run.resume().wait(300)
    assert jobs_of(run)[-1].from_step >= 4
    assert (numbers_of(run), weights_of(run)) == (numbers_of(alone), weights_of(alone))


def test_what_does_not_fit_is_known_before_and_said_after(
    studio: Studio, make_spec: MakeSpec, tiny_model: Path, tmp_path: Path
) -> None:
    """A batch beyond the card: the check says so, a run that goes on regardless fails in its probe, and a way on is offered."""
    import shutil

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    model = shutil.copytree(tiny_model, tmp_path / "wide")
    config = AutoConfig.for_model("llama", **WIDE, bos_token_id=0, eos_token_id=1, pad_token_id=2)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(model)
    rows = tmp_path / "long.jsonl"
    text = " ".join(row["prompt"] for row in build_rows(400))
    rows.write_text("".join(f'{{"text": "{number} {text}"}}\n' for number in range(256)))
    spec = make_spec(
        model=str(model), data=str(rows), max_length=4096, batch_size=64, precision="bf16", max_steps=100,
        gradient_accumulation_steps=1, loop="reference",
    )  # fmt: skip
    assert not studio.check(spec).ready
    run = studio._run(studio._store().create(spec).id)
    studio._compute().submit_job(run.folder)
    with pytest.raises(RunFailed):
        run.wait(300)
    assert run.failure is not None
    assert run.failure.code == "out_of_memory"
    ready = [one for one in run.failure.suggestions if studio.check(one.spec).ready]
    assert ready, run.failure.suggestions


@pytest.fixture
def rented(
    studio: Studio, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[Run, Any]]:
    """A run on an emulated RunPod whose machine is a real process with the real card."""
    monkeypatch.setenv(LAG_VARIABLE, "1")
    with contextlib.ExitStack() as stack:
        machines = stack.enter_context(Machines(tmp_path / "machines"))
        state, environment = stack.enter_context(serve("runpod", machines))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        studio.connect("runpod", key=KEYS["runpod"], keep=False)
        offer = studio._machines.rentals()["runpod"].list_offers(OfferQuery()).offers[0]
        spec = make_spec(max_steps=200, save_steps=50, precision="bf16")
        yield studio.launch(spec, compute=offer, max_usd=5), state


def test_a_rented_machine_trains_on_it(rented: tuple[Run, Any]) -> None:
    """The boot script's machine has the card: trained there, its use streamed, the adapter home, the machine gone."""
    run, state = rented
    run.wait(timeout=300)
    assert (run.state, planned(run).device) == ("completed", "cuda")
    assert most_seen(run, "gpu_memory_bytes")
    wait_for(lambda: count_left(state) == 0, "the end of the machine", timeout_s=60)
    assert run.adapter.path.is_dir()
