"""What the machine has, as its own tool says it, and what a job takes of it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.device import find_gpus
from peft_studio.core.errors import SpecError
from peft_studio.core.spec import Basis, DataRef, RunSpec
from peft_studio.runner.agent.layout import find_devices, take_devices

CARDS = "NVIDIA A100-SXM4-80GB, 81920\nNVIDIA A100-SXM4-80GB, 81920\n"


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ``nvidia-smi`` that knows two cards."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ncat <<END\n{CARDS}END\n")
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def make(**fields: Any) -> RunSpec:
    data = DataRef(path="", origin="", format="text", rows=1, sha256="")
    return RunSpec(model="unknown/model", data=data, **{"basis": Basis(device="cuda"), **fields})


@pytest.mark.usefixtures("cards")
def test_all_cards_are_taken(tmp_path: Path) -> None:
    """Two of them, in the table's spelling; of a model that is not here yet the weights decide."""
    taken = take_devices(make(), tmp_path)

    assert (taken.processes, taken.strategy, taken.words) == (2, "ddp", "2 × A100-80GB, DDP")
    heavy = make(basis=Basis(device="cuda", parameters=70_000_000_000), precision="bf16")
    assert take_devices(heavy, tmp_path).words == "2 × A100-80GB, FSDP"


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize(("given", "count"), [("0", 1), ("1,0", 2), ("", 0), ("GPU-1,GPU-2", 2), ("0,7", 1)])
def test_cards_held_back_are_not_taken(monkeypatch: pytest.MonkeyPatch, given: str, count: int) -> None:
    """By number or by name, as CUDA understands it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)

    assert len(find_gpus()) == count


@pytest.mark.usefixtures("cards")
def test_more_than_there_are_is_refused(tmp_path: Path) -> None:
    """Before anything starts."""
    with pytest.raises(SpecError, match="there are 2 GPUs"):
        take_devices(make(processes=3), tmp_path)


def test_a_cpu_takes_one_unless_asked(tmp_path: Path) -> None:
    """Its cores work on one step together."""
    assert find_devices("cpu").kind == "cpu"
    assert take_devices(make(basis=Basis()), tmp_path).processes == 1
    assert take_devices(make(basis=Basis(), processes=2), tmp_path).words == "2 × CPU, DDP"
