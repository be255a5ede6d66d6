"""A base model in shares: what is cut and what is not, and real runs of it, whose numbers are those of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from peft import PeftModel
from torch import distributed
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM

from peft_studio import Studio
from peft_studio.core.errors import NotReadyError
from peft_studio.runner.trainer.shards import is_sharded, shard_base
from peft_studio.runner.trainer.world import World, average_gradients
from tests.conftest import wait_for
from tests.e2e.evidence import last_step, numbers_of
from tests.trained_here import train_here
from tests.unit.runner.trainer.fast.tiny_models import build_model
from tests.unit.runner.trainer.test_distributed import assert_same_numbers


@pytest.fixture
def alone() -> Iterator[World]:
    """A world of one that has met itself."""
    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    yield World(0, 1, 0)
    distributed.destroy_process_group()


def test_the_base_is_cut_and_the_adapter_is_not(alone: World) -> None:
    """Every frozen number is in shares; those of the adapter are plain, so that optimizers and files need not know. Answers stay."""
    model = build_model(dropout=0.0).eval()
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    before = model(input_ids=ids).logits.detach()

    shard_base(model, alone, kind="cpu")

    assert is_sharded(model)
    for name, parameter in model.named_parameters():
        assert isinstance(parameter, DTensor) == (not parameter.requires_grad), name
    assert torch.equal(model(input_ids=ids).logits, before)
    model(input_ids=ids).logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_a_gradient_that_nobody_has_stays_away(alone: World) -> None:
    """As with one process: an optimizer leaves alone what an expert that saw no token would have."""
    seen, unseen = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))
    seen.grad = torch.tensor([1.0, 2.0, 3.0])

    average_gradients([seen, unseen])

    assert seen.grad.tolist() == [1.0, 2.0, 3.0]
    assert unseen.grad is None


@pytest.fixture
def spec(make_spec: Callable[..., Any]) -> Any:
    """Two processes with half of the base each, on the loop that shares allow."""
    return make_spec(
        processes=2, sharding="fsdp", loop="reference", dropout=0.0, max_steps=8, save_steps=3, probe=False
    )


@pytest.mark.slow
def test_the_numbers_of_one_and_an_adapter_for_anybody(studio: Studio, spec: Any, tiny_model: Path) -> None:
    """Losses, norms and tokens of each step; and the adapter, loaded by plain peft onto the whole base, answers as that of one process does."""
    shared = studio.launch(spec).wait(300)
    one = train_here(studio, spec.replace(processes=1, sharding="auto"))

    state = shared.read()[0]
    assert state.plan
    assert (state.plan.strategy, state.trains_on) == ("fsdp", "2 × CPU, FSDP")
    assert_same_numbers(numbers_of(shared), numbers_of(one))
    ids = torch.tensor([[5, 6, 7, 8]])
    answers = []
    for run in (shared, one):
        base = AutoModelForCausalLM.from_pretrained(tiny_model)
        answers.append(PeftModel.from_pretrained(base, str(run.adapter.path)).eval()(input_ids=ids).logits)
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-4)


@pytest.mark.stress
@pytest.mark.parametrize(
    "fields",
    [{"method": "dora", "gradient_checkpointing": True}, {"method": "rslora", "packing": True, "gradient_accumulation_steps": 3},
     {"processes": 3}, {"probe": True, "max_steps": 40, "sample_prompts": ("the cat",), "sample_steps": 4}],
    ids=str,
)  # fmt: skip
def test_other_runs_in_shares(
    studio: Studio, make_spec: Callable[..., Any], spec: Any, tiny_rows: Path, fields: dict[str, Any]
) -> None:
    """With evaluations between, which all processes share."""
    data = studio.data(str(tiny_rows), split=0.25)
    spec = make_spec(**{name: getattr(spec, name) for name in spec.chosen} | fields | {"data": data, "eval_steps": 3})
    shared = studio.launch(spec).wait(300)
    one = train_here(studio, spec.replace(processes=1, sharding="auto"))

    assert_same_numbers(numbers_of(shared), numbers_of(one))
    assert [it.text for it in shared.read()[0].samples] == [it.text for it in one.read()[0].samples]


@pytest.mark.stress
def test_stopped_saved_and_gone_on_with_by_one(studio: Studio, spec: Any) -> None:
    """The checkpoint of shares is one as any other."""
    run = studio.launch(spec.replace(max_steps=60))
    wait_for(lambda: last_step(run) >= 2, "step 2")
    run.stop(save=True)
    assert run.wait(120).state == "stopped"
    run.folder.spec.write_text(spec.replace(max_steps=60, processes=1, sharding="auto").to_json())
    run.resume().wait(300)
    assert_same_numbers(
        numbers_of(run), numbers_of(train_here(studio, spec.replace(max_steps=60, processes=1, sharding="auto")))
    )


def test_what_cannot_be_shared_out_is_refused_before_it_starts(studio: Studio, spec: Any) -> None:
    """With the reason; no run is made. What an agent says that meets it on another machine: tests/unit/runner/agent/test_layout.py."""
    with pytest.raises(NotReadyError, match="PiSSA"):
        studio.launch(spec.replace(method="pissa"))
    assert len(studio.runs()) == 0
