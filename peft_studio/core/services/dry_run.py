"""Memory of a run, counted in a process of its own by going through the model's real modules without weights.

The kernel never loads torch. An answer is kept in the home folder for as long as nothing it depends on changes: the model's config.json, the
fields of the spec that decide memory, and the versions of the libraries that were gone through.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from peft_studio.core.errors import ModelError
from peft_studio.core.estimators import Estimate
from peft_studio.core.services.prepare import require_train_extra
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import home_folder, write_private
from peft_studio.core.vault import without_keys

DECIDING = (
    "method", "quantization", "rank", "target_modules", "optimizer", "batch_size", "max_length", "packing", "gradient_checkpointing",
    "precision", "loop",
)  # fmt: skip
LIBRARIES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")
KEPT_ANSWERS = 200
# Shares of the count. On a CPU counts of real steps lay within 1 % (docs/training.md); on a GPU nothing has been held against it yet.
RANGES = {"cpu": (0.98, 1.02), "cuda": (0.9, 1.1)}
PLACES = {
    "embedding": "before the first layer",
    "head": "at the model's head",
    "optimizer": "in the optimizer's step",
    "forward": "in a layer's forward pass",
    "backward": "in a layer's backward pass",
    "evaluation": "in an evaluation batch",
}


def dry_run_memory(spec: RunSpec, model_folder: Path, *, home: Path | None = None, timeout_s: float = 60) -> Estimate:
    """Bytes of live tensors at the peak of training; takes seconds, and milliseconds when asked again.

    Of ``model_folder`` only config.json is read. Allocator and CUDA context come on top. ``parts``, largest first: weights, constants,
    adapters, gradients, optimizer, activations, logits or workspace.

    Raises:
        MissingExtra: Training is not installed.
        ModelError: The model cannot be gone through, or it took longer than ``timeout_s``.
    """
    kept = (home or home_folder()) / "estimates" / f"dry-run-{_key(spec, model_folder)}.json"
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = _count(spec, model_folder, timeout_s)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_private(kept, json.dumps(found))
        _forget_oldest(kept.parent)
    return _build_estimate(found, spec)


def _key(spec: RunSpec, model_folder: Path) -> str:
    """Digest of everything the answer depends on."""
    try:
        config = (model_folder / "config.json").read_bytes()
    except OSError as exc:
        raise ModelError(
            f"{model_folder} has no config.json.",
            hint="Give the folder of a prepared model: studio.prepare(name).",
            fields=("model",),
        ) from exc
    facts = spec.model_dump(mode="json", include=set(DECIDING))
    more = {
        "dropout": spec.dropout > 0,
        "accumulates": spec.gradient_accumulation_steps > 1,
        "device": spec.basis.device,
        "versions": [_version(name) for name in LIBRARIES],
    }
    return hashlib.sha256(json.dumps(facts | more, sort_keys=True).encode() + config).hexdigest()[:32]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _count(spec: RunSpec, model_folder: Path, timeout_s: float) -> dict[str, Any]:
    require_train_extra()
    command = [sys.executable, "-m", "peft_studio.runner", "dry-run", str(model_folder)]
    try:
        done = subprocess.run(
            command,
            input=spec.to_json(),
            env=without_keys(os.environ),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise ModelError(
            f"Counting the memory of {spec.model} took longer than {timeout_s:g} s.",
            hint="Give it more time, or go by the estimate from config.json.",
            fields=("model",),
        ) from exc
    if done.returncode or not done.stdout.strip():
        last = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        raise ModelError(
            f"The memory of {spec.model} cannot be counted without its weights: {last[0]}",
            hint="Go by the estimate from config.json; the probe measures before the run.",
            fields=("model",),
        )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _build_estimate(found: dict[str, Any], spec: RunSpec) -> Estimate:
    peak = float(found["peak_bytes"])
    low, high = RANGES.get(spec.basis.device, RANGES["cuda"])
    place = PLACES.get(found["section"].split()[0], found["section"])
    parts = sorted(((name, float(size)) for name, size in found["parts"].items() if size), key=lambda part: -part[1])
    return Estimate(
        peak, peak * low, peak * high, "bytes",
        f"dry run of the model's own modules, {found['loop']} loop: most is alive {place}, in {found['peak_at']}",
        MappingProxyType(dict(parts)),
    )  # fmt: skip


def _forget_oldest(folder: Path) -> None:
    """Keep the cache small; another process may be doing the same."""
    answers = sorted(folder.glob("dry-run-*.json"), key=lambda path: path.stat().st_mtime)
    for path in answers[:-KEPT_ANSWERS]:
        path.unlink(missing_ok=True)
