"""The adapter appears whole, loads, and answers as the model in memory does, or it does not appear at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from peft_studio.core.errors import StudioError
from peft_studio.core.runs.checkpoints import sha256_of
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.store import RunStore
from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer import export
from peft_studio.runner.trainer.load import load_base
from peft_studio.runner.trainer.methods import attach_adapter
from peft_studio.runner.trainer.problems import TrainingStopped
from tests.unit.core.runs.conftest import build_spec

CASES = {
    "lora": {},
    "rslora": {"method": "rslora"},
    "dora": {"method": "dora"},
    "pissa": {"method": "pissa", "rank": 8},
    "nf4": {"method": "qlora", "quantization": "nf4"},
    "fractional alpha": {"alpha": 12.5},
}


def trained(folder: RunFolder, spec: RunSpec, model_folder: Path) -> Any:
    """A model whose adapter was moved as training would move it."""
    base = load_base(model_folder, quantization=spec.quantization, precision=spec.precision)
    model = attach_adapter(base, spec, scratch=folder.path / "scratch")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model


def save(model: Any, folder: RunFolder, spec: RunSpec, model_folder: Path) -> Any:
    return export.export_adapter(
        model,
        folder,
        spec,
        model_folder=model_folder,
        scratch=folder.path / "scratch",
        step=7,
        ids=range(3, 40),
    )


@pytest.mark.parametrize("case", CASES)
def test_plain_peft_gives_the_same_logits(tmp_path: Path, tiny_model: Path, case: str) -> None:
    """Loaded on the untouched base; the event carries the digest and size of what is there."""
    from peft import PeftModel

    spec = build_spec(**{"model": str(tiny_model), "rank": 4, "precision": "fp32", **CASES[case]})
    folder = RunStore(tmp_path).create(spec)
    model = trained(folder, spec, tiny_model)
    probe = torch.arange(3, 40).unsqueeze(0)
    expected = export._logits(model, probe)
    saved = save(model, folder, spec, tiny_model)
    assert saved.sha256 == sha256_of(folder.adapter / "adapter_model.safetensors")
    assert (saved.step, saved.path) == (7, "adapter")
    base = load_base(tiny_model, quantization=spec.quantization, precision="fp32")
    found = export._logits(PeftModel.from_pretrained(base, str(folder.adapter)), probe)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4
    bare = export._logits(load_base(tiny_model, quantization=spec.quantization, precision="fp32"), probe)
    assert float((bare - expected).abs().max() / expected.abs().max()) > 1e-2  # the adapter does something
    assert json.loads((folder.adapter / "peft_studio.json").read_text())["method"] == spec.method


def test_an_adapter_that_answers_otherwise_is_not_kept(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is loaded and asked; damage on the way to the disk is found before anybody is told of an adapter."""
    from safetensors.torch import load_file, save_file

    spec = build_spec(model=str(tiny_model), rank=4, precision="fp32")
    folder = RunStore(tmp_path).create(spec)
    model = trained(folder, spec, tiny_model)
    write = export.save_adapter

    def write_badly(model: Any, aside: Path, spec: RunSpec, *, scratch: Path) -> None:
        write(model, aside, spec, scratch=scratch)
        tensors = load_file(aside / "adapter_model.safetensors")
        name = next(name for name in sorted(tensors) if "lora_B" in name)
        save_file({**tensors, name: tensors[name] + 1.0}, aside / "adapter_model.safetensors")

    monkeypatch.setattr(export, "save_adapter", write_badly)
    with pytest.raises(StudioError, match="answers differently") as caught:
        save(model, folder, spec, tiny_model)
    assert caught.value.code == "adapter_unloadable"  # type: ignore[attr-defined]
    assert not folder.adapter.exists()
    assert not list(folder.path.glob(".adapter*"))


def test_a_new_adapter_takes_the_place_of_an_old_one(tmp_path: Path, tiny_model: Path) -> None:
    """Of a stopped run that went on: nothing of the older one stays."""
    spec = build_spec(model=str(tiny_model), rank=4, precision="fp32")
    folder = RunStore(tmp_path).create(spec)
    folder.adapter.mkdir()
    (folder.adapter / "old").write_text("old")
    save(trained(folder, spec, tiny_model), folder, spec, tiny_model)
    assert {path.name for path in folder.adapter.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    assert not (folder.adapter / "old").exists()
    assert not list(folder.path.glob(".adapter*"))


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_weights_spoiled_by_the_last_step_are_not_kept(tmp_path: Path, tiny_model: Path, value: float) -> None:
    """The loss of the last step was still a number, the update after it was not."""
    spec = build_spec(model=str(tiny_model), rank=4, precision="fp32")
    folder = RunStore(tmp_path).create(spec)
    model = trained(folder, spec, tiny_model)
    with torch.no_grad():
        next(p for name, p in model.named_parameters() if "o_proj.lora_B" in name).fill_(value)
    with pytest.raises(TrainingStopped) as caught:
        save(model, folder, spec, tiny_model)
    assert caught.value.code == "loss_not_finite"
    assert not folder.adapter.exists()
