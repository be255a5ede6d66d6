"""A completed run with an adapter of real shapes, as an agent would have left it. Its numbers follow a formula: a fixture, not a result."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from peft_studio.core.runs import events as ev
from peft_studio.core.spec import Basis, RunSpec
from tests.ui.write_run import RunWriter, build_spec, clock_at

RUN_ID = "r-20261126-101112-00000a"
FACTS = {
    "python": "3.11.7",
    "system": "Linux",
    "cpus": 2,
    "peft-studio": "0.1.0",
    "torch": "2.13.0",
    "peft": "0.21.2",
    "bitsandbytes": None,
}
BASIS = Basis(conversational=True, train_rows=360, eval_rows=40, p95_tokens=180, max_tokens=1304, free_bytes=9 * 2**30)


def write_made_run(home: Path, *, layers: int = 2, hidden: int = 64, kv: int = 32, **fields: Any) -> Path:
    """Write it and give its folder. ``layers``, ``hidden`` and ``kv`` are the base model's; the adapter is on q_proj and v_proj."""
    known = {**dict(build_spec()), "rank": 4, "alpha": 8, "basis": BASIS, "eval_steps": 50}
    spec = RunSpec(**{**known, **fields})
    with clock_at(1_790_000_000.0) as pause:
        writer = RunWriter(home / "runs" / RUN_ID, spec)
        writer.begin(total=60, pause=pause)
        writer.log.append(ev.Environment(facts=FACTS))
        writer.train(60, pause=pause)
        sha256 = write_adapter(writer.folder.adapter, spec, layers=layers, hidden=hidden, kv=kv)
        size = sum(path.stat().st_size for path in writer.folder.adapter.iterdir())
        writer.phase("saving")
        writer.log.append(ev.AdapterSaved(path="adapter", step=60, sha256=sha256, size_bytes=size))
        writer.log.append(ev.Finished(state="completed"))
    return writer.folder.path


def write_adapter(folder: Path, spec: Any, *, layers: int, hidden: int, kv: int) -> str:
    """Adapter files as peft writes them; gives the digest of the weights."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    tensors = {}
    for layer in range(layers):
        for name, out in (("q_proj", hidden), ("v_proj", kv)):
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{stem}.lora_A.weight"] = draw.normal(size=(spec.rank, hidden)).astype(np.float32)
            tensors[f"{stem}.lora_B.weight"] = draw.normal(size=(out, spec.rank)).astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA", "r": spec.rank, "lora_alpha": spec.alpha, "use_rslora": spec.method == "rslora", "use_dora": spec.method == "dora",
        "bias": "none", "target_modules": ["q_proj", "v_proj"], "base_model_name_or_path": spec.model, "task_type": "CAUSAL_LM",
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text("# peft's own\n")
    (folder / "training_args.bin").write_bytes(b"pickle")
    facts = {"base_model": spec.model, "base_sha256": "sampled-v1:" + "0" * 64, "method": spec.method}
    (folder / "peft_studio.json").write_text(json.dumps(facts))
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
