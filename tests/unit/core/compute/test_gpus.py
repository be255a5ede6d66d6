"""The device table is sane, sourced, and found by the names that drivers and providers use."""

from __future__ import annotations

import pytest

from peft_studio.core.compute import GPUS, Gpu, find_gpu, gpu_speed


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_a_row_is_sourced_and_of_this_world(gpu: Gpu) -> None:
    """Every row names a data sheet; peaks and bandwidths are within what cards have, and their ratio is a card's."""
    assert "NVIDIA" in gpu.source
    assert 2016 <= gpu.year <= 2026
    assert 8 <= gpu.memory_gib <= 288
    assert gpu.fp16 is not None
    assert 50e12 <= gpu.fp16 <= 2.5e15
    assert 50 <= gpu.fp16 / gpu.bandwidth <= 450  # operations a byte: T4 203, V100 139, L40S 419
    assert gpu.bf16 is None or gpu.bf16 == gpu.fp16
    if gpu.int8 is not None and gpu.name != "B300":  # Blackwell Ultra gave its int8 up for fp4
        assert 1.9 <= gpu.int8 / gpu.fp16 <= 4.1  # twice; four times where fp16 is halved for fp32 sums
    assert (gpu.bf16 is None) == (gpu.year < 2020)


def test_names_are_unique() -> None:
    """One row a card."""
    assert len({gpu.name for gpu in GPUS}) == len(GPUS)


@pytest.mark.parametrize(
    ("slower", "faster"),
    [("T4", "A10"), ("RTX 3090", "RTX 4090"), ("RTX 4090", "RTX 5090"), ("L4", "L40"), ("L40", "L40S"), ("A100", "H100"),
     ("H100 PCIe", "H100 NVL"), ("H100 NVL", "H100"), ("H100", "B200")],
)  # fmt: skip
def test_generations_are_in_order(slower: str, faster: str) -> None:
    """What is known to be faster is faster in the table."""
    one, other = find_gpu(slower), find_gpu(faster)

    assert one is not None
    assert other is not None
    assert (one.fp16 or 0) < (other.fp16 or 0)


@pytest.mark.parametrize(
    ("called", "row"),
    [("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA H100 PCIe", "H100 PCIe"), ("NVIDIA H100 NVL", "H100 NVL"), ("NVIDIA H200", "H200"),
     ("NVIDIA A100-SXM4-80GB", "A100-80GB"), ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"), ("A100 (40 GB SXM4)", "A100"),
     ("A100 (80 GB SXM4)", "A100-80GB"), ("NVIDIA GeForce RTX 4090", "RTX 4090"), ("NVIDIA GeForce RTX 3090 Ti", "RTX 3090 Ti"),
     ("Tesla V100-SXM2-32GB", "V100 SXM2 32GB"), ("Tesla T4", "T4"), ("NVIDIA L40S", "L40S"), ("RTX_4090", "RTX 4090"),
     ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"), ("NVIDIA RTX A6000", "RTX A6000"), ("NVIDIA A10G", None),
     ("AMD Instinct MI300X OAM", None), ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
     ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000"), ("NVIDIA RTX PRO 6000 Blackwell Server Edition", None)],
)  # fmt: skip
def test_a_card_is_found_by_its_names(called: str, row: str | None) -> None:
    """Driver, RunPod, Lambda and Vast spell the same card differently; another card is never taken for it."""
    found = find_gpu(called)

    assert (found.name if found else None) == row


def test_a_published_peak_becomes_a_range() -> None:
    """No card reaches its data sheet: the speed stands at a share of it and says how wide that share is."""
    gpu = find_gpu("H100")
    assert gpu is not None
    assert gpu.bf16 is not None

    speed = gpu_speed(gpu)
    found = speed.find("bf16", "fast")

    assert found is not None
    assert 0.2 < 1 / found.s_per_flop / gpu.bf16 < 0.3  # what Trainer and peft reached in published runs
    assert speed.spread.low < 1 < speed.spread.high
    assert "data sheet" in speed.basis


def test_what_a_card_has_not_is_not_made_up() -> None:
    """A T4 multiplies no bfloat16, so nothing is said of it."""
    gpu = find_gpu("T4")

    assert gpu is not None
    assert gpu_speed(gpu).find("bf16", "reference") is None
