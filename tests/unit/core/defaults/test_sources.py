"""The defaults are those of the sources that they name: a line a rule."""

from __future__ import annotations

from math import ceil
from typing import Any

import pytest

from peft_studio.core.spec import Basis
from tests.unit.core.defaults.test_derive import derive

SMALL, BIG = 8_000_000_000, 70_000_000_000


@pytest.mark.parametrize(
    ("fields", "parameters", "rate"),
    [
        ({"method": "lora"}, SMALL, 2e-4), ({"method": "lora"}, BIG, 1e-4), ({"method": "qlora"}, SMALL, 2e-4), ({"method": "qlora"}, BIG, 1e-4),
        ({"method": "dora"}, SMALL, 1e-4), ({"method": "dora"}, BIG, 5e-5), ({"method": "pissa"}, SMALL, 2e-5), ({"method": "pissa"}, BIG, 1e-5),
        ({"method": "rslora"}, SMALL, 2e-4),
        ({"method": "rslora", "alpha": 64.0}, SMALL, 1e-4),  # peft's comparison: scale 8 at half the rate
        ({"method": "lora", "rank": 64}, SMALL, 2e-4),
        ({"method": "lora", "rank": 256}, SMALL, 5e-5),  # alpha 512 with it: the rate falls
        ({"method": "lora", "rank": 256, "alpha": 32.0}, SMALL, 2e-4),  # alpha fixed: it stays
        ({"method": "pissa", "rank": 128}, SMALL, 2e-5),  # the paper's own
    ],
)  # fmt: skip
def test_learning_rates(fields: dict[str, Any], parameters: int, rate: float) -> None:
    """By method, size, and how far alpha has grown."""
    assert derive(Basis(parameters=parameters, train_rows=5000), **fields).learning_rate == pytest.approx(rate)


@pytest.mark.parametrize(
    ("method", "rows", "rank"),
    [("lora", 900, 16), ("lora", 20_000, 16), ("lora", 20_001, 32), ("qlora", 50_000, 32), ("dora", 50_000, 32), ("rslora", 50_000, 64), ("pissa", 900, 32)],
)  # fmt: skip
def test_rank_by_rows(method: str, rows: int, rank: int) -> None:
    """Many rows fill a larger adapter."""
    assert derive(Basis(train_rows=rows), method=method).rank == rank


@pytest.mark.parametrize(
    ("fields", "rows", "dropout"),
    [({}, 999, 0.05), ({}, 1000, 0.0), ({"epochs": 4.0}, 5000, 0.05), ({"method": "qlora"}, 5000, 0.05), ({"method": "pissa"}, 100, 0.0),
     ({"method": "dora"}, 100, 0.0), ({"method": "rslora"}, 100, 0.05)],
)  # fmt: skip
def test_dropout_by_rows_and_epochs(fields: dict[str, Any], rows: int, dropout: float) -> None:
    """Few rows, or rows seen often, are memorised."""
    assert derive(Basis(train_rows=rows), **fields).dropout == dropout


def test_adapters_of_experts_cannot_drop() -> None:
    """Unless they are on other layers."""
    basis = Basis(train_rows=100, family="mixtral")
    assert derive(basis).dropout == 0
    assert derive(basis, target_modules=("q_proj",)).dropout == 0.05


@pytest.mark.parametrize(
    ("steps", "share", "warm"),
    [(1000, 0.05, 50), (100, 0.05, 5), (60, 0.0833, 5), (20, 0.25, 5), (6, 0.25, 2), (1, 0.25, 1)],
)
def test_warmup_is_five_steps_at_least(steps: int, share: float, warm: int) -> None:
    """And never more than a quarter of the run; whole steps as transformers rounds them."""
    spec = derive(max_steps=steps)
    assert spec.warmup_ratio == share
    assert ceil(spec.warmup_ratio * steps) == warm


@pytest.mark.parametrize(("rows", "epochs"), [(4999, 3), (5000, 2), (20_000, 2), (20_001, 1)])
def test_epochs_by_rows(rows: int, epochs: float) -> None:
    """Fewer passes over more rows; fewer rows a step before fewer than a hundred steps."""
    spec = derive(Basis(train_rows=rows, max_tokens=100))
    assert spec.epochs == epochs
    assert spec.planned_steps is not None
    assert spec.planned_steps >= 100
    assert derive(Basis(train_rows=400, max_tokens=100)).effective_batch < 16


def test_memory_decides_what_is_certain() -> None:
    """Weights that do not fit ask for QLoRA; weights that leave little room for checkpointing and a small optimizer; never a rank."""

    def at(free_gib: int, **fields: Any) -> Any:
        basis = Basis(parameters=7_000_000_000, train_rows=5000, device="cuda", bf16=True, free_bytes=free_gib << 30)
        return derive(basis, **fields)

    assert [at(gib).method for gib in (8, 14, 24, 80)] == ["qlora", "qlora", "lora", "lora"]
    assert "14.0 GB" in at(8).explain()["method"].why
    assert at(24).optimizer == "paged_adamw_8bit"
    assert at(80).optimizer == "adamw_torch_fused"
    assert at(8, method="lora").method == "lora"
    assert at(8, quantization=None).method == "lora"  # a person wants none
    assert at(8).max_grad_norm == 0.3
    cpu = Basis(parameters=900_000_000, train_rows=5000, free_bytes=3 << 30, bf16=True)
    assert derive(cpu).gradient_checkpointing
    assert not derive(cpu.model_copy(update={"free_bytes": 30 << 30})).gradient_checkpointing


@pytest.mark.parametrize(
    ("family", "hidden", "rate"),
    [("llama", 2048, 4.9e-4), ("llama", 4096, 2.9e-4), ("qwen3", 2560, 4.9e-4), ("qwen2", 5120, 4.65e-4)],
)
def test_the_other_schools_rate(family: str, hidden: int, rate: float) -> None:
    """Thinking Machines' figures for Llama 1B and 8B, Qwen 4B and 32B; it comes with the alpha that it is meant for."""
    (way,) = derive(Basis(family=family, hidden_size=hidden)).alternatives
    assert way.changes["learning_rate"] == pytest.approx(rate, rel=0.02)
    changed = derive(Basis(family=family, hidden_size=hidden)).replace(**way.changes)
    assert changed.alpha == 32
    assert derive(Basis(family="gpt2", hidden_size=768)).alternatives == ()
    assert derive(Basis(family=family, hidden_size=hidden), method="pissa").alternatives == ()
