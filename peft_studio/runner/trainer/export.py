"""The result: an adapter in peft's own format, loaded once by plain peft before anybody is told that it exists."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file

from peft_studio.core.errors import StudioError
from peft_studio.core.models.weights import fingerprint_base
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import sha256_of
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import sync_folder
from peft_studio.runner.trainer.load import load_base
from peft_studio.runner.trainer.methods import save_adapter
from peft_studio.runner.trainer.problems import TrainingStopped
from peft_studio.runner.trainer.shards import is_sharded
from peft_studio.runner.trainer.world import World, wait_for_all

PROBE_TOKENS = 64
# Largest difference of a logit, relative to the largest logit, between the model in memory and its reloaded adapter.
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 5e-2}
# PiSSA's base in memory is the rest of W - BA, rounded; W = that rest + BA no longer holds to the last bit. Measured on SmolLM2-135M
# in bf16, before any training: 5.8 %, where the base itself is 2.8 % from its own fp32.
REST_ROUNDED = 3.0


def export_adapter(
    model: PeftModel,
    folder: RunFolder,
    spec: RunSpec,
    *,
    model_folder: Path,
    scratch: Path,
    step: int,
    ids: Sequence[int],
    world: World | None = None,
) -> ev.AdapterSaved | None:
    """Write the adapter aside, load it with plain peft, compare its logits with the model in memory, then move it into place.

    ``world``: processes that hold a share of the base each. All of them call this; rank 0 writes, and the others get None.
    ``ids`` are tokens of real text to compare on: on tokens put together at random a sound model's own bf16 is 25 % from its fp32.

    Raises:
        StudioError: The written adapter does not load, or answers differently. The checkpoints are kept.
    """
    world = world or World()
    aside = folder.path / ".adapter"
    if world.leads:
        shutil.rmtree(aside, ignore_errors=True)
    probe = torch.tensor([list(ids[:PROBE_TOKENS])])
    expected = _logits(model, probe)
    # Weights that overflow inside the model can come out as NaN, or as zero behind a norm.
    if not torch.isfinite(expected).all() or not expected.any():
        raise TrainingStopped("loss_not_finite", "The trained weights overflow: the model no longer gives an answer.")
    with contextlib.ExitStack() as undo:
        if world.leads:
            undo.callback(shutil.rmtree, aside, ignore_errors=True)  # on a full disk: room for saying so
            save_adapter(model, aside, spec, scratch=scratch)
            _describe(aside, spec, model_folder)
        wait_for_all(world)
        _check_loads(model, aside, spec, model_folder=model_folder, probe=probe, expected=expected)
        if not world.leads:
            return None
        for path in aside.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        undo.pop_all()
    shutil.rmtree(folder.adapter, ignore_errors=True)
    os.replace(aside, folder.adapter)
    sync_folder(folder.path)
    weights = folder.adapter / "adapter_model.safetensors"
    size = sum(path.stat().st_size for path in folder.adapter.iterdir())
    return ev.AdapterSaved(path="adapter", step=step, sha256=sha256_of(weights), size_bytes=size)


def _check_loads(
    model: PeftModel, adapter: Path, spec: RunSpec, *, model_folder: Path, probe: torch.Tensor, expected: torch.Tensor
) -> None:
    if spec.method == "pissa":  # the base in memory is not the untouched one that the converted adapter belongs to
        base = load_base(
            model_folder,
            quantization=None,
            precision=spec.precision,
            device=str(model.device),
            remote_code=spec.remote_code,
        )
        found = _logits(PeftModel.from_pretrained(base, str(adapter)), probe)
    elif is_sharded(model):
        _read_again(model, adapter)
        found = _logits(model, probe)
    else:
        model.load_adapter(str(adapter), adapter_name="reloaded")
        model.set_adapter("reloaded")
        found = _logits(model, probe)
        model.set_adapter("default")
        model.delete_adapter("reloaded")
    difference = float((found - expected).abs().max() / expected.abs().max())
    if difference != difference:  # NaN: weights so large that the same sums overflow or do not
        raise TrainingStopped("loss_not_finite", "After the last step the model no longer gives finite numbers.")
    rounded = spec.method == "pissa" and spec.precision != "fp32"
    if not difference <= TOLERANCE[spec.precision] * (REST_ROUNDED if rounded else 1.0):
        error = StudioError(
            f"The saved adapter answers differently from the model in memory (logits differ by {difference:.2%})."
        )
        error.code = "adapter_unloadable"  # type: ignore[attr-defined]
        raise error


def _read_again(model: PeftModel, adapter: Path) -> None:
    """Forget the adapter in memory and take the written one in its place; a second one could not be laid around a base in shares."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    set_peft_model_state_dict(model, load_file(adapter / "adapter_model.safetensors"))


def _logits(model: Any, probe: torch.Tensor) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(input_ids=probe.to(model.device), use_cache=False).logits.float().cpu()


def _describe(adapter: Path, spec: RunSpec, model_folder: Path) -> None:
    """Say what the adapter belongs to: in peft's config the name the user knows the base by, beside it our own facts."""
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = spec.model
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    facts = {"base_model": spec.model, "base_sha256": fingerprint_base(model_folder), "method": spec.method}
    (adapter / "peft_studio.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
