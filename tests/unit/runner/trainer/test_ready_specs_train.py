"""Every default spec that preflight calls Ready trains here: methods × quantizations × tiny models of many families.

Through the job that a run's trainer does, in this process. What preflight blocks is only derived: its fix must make it Ready.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.metrics import MetricsWriter, read_metrics
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.check import Problem
from peft_studio.core.spec import METHODS, QUANTIZATIONS
from tests.tiny import write_rows, write_tokenizer

pytestmark = pytest.mark.slow

SIZES = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}  # fmt: skip
ALONE = {name: value for name, value in SIZES.items() if name != "num_key_value_heads"}
EXPERTS = {"num_experts": 4, "moe_intermediate_size": 64, "num_experts_per_tok": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SIZES,
    "qwen2": SIZES,
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "gemma2": {**SIZES, "head_dim": 16, "sliding_window": 64},
    "gemma3_text": {**SIZES, "head_dim": 16, "sliding_window": 64},
    "phi3": SIZES,
    "opt": {**ALONE, "ffn_dim": 128, "word_embed_proj_dim": 64},
    "gpt_neox": ALONE,
    "mixtral": {**SIZES, "num_local_experts": 4},
    "qwen2_moe": {**SIZES, **EXPERTS, "shared_expert_intermediate_size": 64},
}
WAYS = list(product(METHODS, (None, *QUANTIZATIONS)))
BLOCKED = {  # what peft or bitsandbytes cannot do, by way and family; "" is every family
    ("pissa", "int8", ""): "pissa_quantised", ("pissa", "int4", ""): "pissa_quantised", ("pissa", "nf4", ""): "pissa_quantised",
    ("dora", "int8", ""): "dora_int8",
    ("dora", None, "mixtral"): "experts_dora", ("dora", "int8", "mixtral"): "experts_dora", ("dora", "int4", "mixtral"): "experts_dora",
    ("dora", "nf4", "mixtral"): "experts_dora", ("pissa", None, "mixtral"): "experts_pissa", ("pissa", None, "qwen2_moe"): "experts_pissa",
}  # fmt: skip


class Line:
    """A channel to an agent that only listens."""

    def __init__(self) -> None:
        self.stop_requested, self.orphaned = threading.Event(), threading.Event()
        self.events: list[ev.Event] = []

    def send(self, event: ev.Event) -> None:
        self.events.append(event)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products on many threads take longer, not shorter."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def write_model(family: str, folder: Path) -> Path:
    """A two-layer model of the family with random weights, and a tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if not folder.exists():
        folder.mkdir()
        size = write_tokenizer(folder)
        torch.manual_seed(0)
        ends = {"bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 3}
        config = AutoConfig.for_model(family, vocab_size=size, **ends, **FAMILIES[family])
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def ways_of(family: str) -> list[tuple[str, str | None]]:
    """Llama takes every way; of the others each method once, with a quantization that differs by family."""
    if family == "llama":
        return WAYS
    kinds = (None, "nf4", "int8", "int4")
    turn = list(FAMILIES).index(family)
    return [(method, None if method == "pissa" else kinds[(turn + at) % 4]) for at, method in enumerate(METHODS)]


ALWAYS = {"llama", "gemma3_text", "mixtral"}  # the others are of their kinds, and come with `make stress`


@pytest.mark.parametrize(
    "family", [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.stress) for name in FAMILIES]
)
def test_what_is_ready_trains(family: str, home: Path) -> None:
    """Two steps, an adapter that plain peft loads and that answers the same; what is not Ready has the reason expected here."""
    studio = Studio(home=home)
    data = studio.data(str(write_rows(home / "rows.jsonl", 16)))
    model = str(write_model(family, home / family))
    for method, quantization in ways_of(family):
        fields: dict[str, Any] = {"method": method, "quantization": quantization}
        if method == "qlora" and quantization is None:
            fields.pop("quantization")
        spec = studio.spec(model=model, data=data, max_steps=2, **fields)
        check = studio.check(spec)
        found = [problem for problem in check.problems if problem.severity == "blocking"]
        expected = {BLOCKED.get((method, quantization, name)) for name in ("", family)} - {None}
        assert {problem.code for problem in found} == expected, (family, method, quantization)
        if not check.ready:
            spec = mended(studio, spec, found)
        if check.ready or family == "llama":
            train(spec, studio, words=f"{family} {method} {quantization}")


def mended(studio: Studio, spec: Any, problems: list[Problem]) -> Any:
    """The spec with every fix of the preflight, which is Ready."""
    while problems:
        spec = spec.replace(**problems[0].changes)
        problems = [problem for problem in studio.check(spec).problems if problem.severity == "blocking"]
    return spec


def train(spec: Any, studio: Studio, *, words: str) -> None:
    """Do the whole job; its own last step reloads the adapter and compares its answers."""
    from peft_studio.runner.trainer.job import Job
    from peft_studio.runner.trainer.monitor import Monitor

    folder = RunStore(studio.home).create(spec)
    line = Line()
    monitor = Monitor(line)  # type: ignore[arg-type]
    monitor.metrics = MetricsWriter(folder.metrics)
    outcome = Job(folder, spec, monitor, from_step=0).run()
    monitor.metrics.close()
    assert outcome.state == "completed", words
    losses = [row.values["loss"] for row in read_metrics(folder.metrics) if "loss" in row.values]
    assert len(losses) == 2, words
    assert all(2 < loss < 12 for loss in losses), (words, losses)  # ln(300) is 5.7
    assert (folder.adapter / "adapter_model.safetensors").stat().st_size > 0, words
    assert any(isinstance(event, ev.AdapterSaved) for event in line.events), words
