"""An adapter merged into its base: a whole model in float16, for servers that have no form for the adapter.

    python -m peft_studio.runner merge MODEL_FOLDER ADAPTER_FOLDER OUT_FOLDER

Lines on standard output as those of ``prepare``. The merged model stands at its place only after it was loaded again and gave the logits of base
and adapter. Takes the base in float32 in memory, about four bytes a parameter, and its float16 on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from tokenizers import Tokenizer

from peft_studio.core.models import ModelFailure
from peft_studio.core.system import sync_folder
from peft_studio.runner.trainer.load import load_base
from peft_studio.runner.trainer.prepare import Say, report_work

TEXT = "Please send 3 lamps to 12 Main Street, Oslo, before Friday. Thank you! The capital of France is"
PROBE_TOKENS = 64
TOLERANCE = 2e-2  # largest difference of a logit, relative to the largest, as for an adapter saved in fp16
SHARD = "4GB"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def merge_adapter(base: Path, adapter: Path, out: Path, *, say: Say) -> Path:
    """Write the merged model of an adapter and return its folder.

    Raises:
        ModelFailure: They do not fit, or the merged model answers differently in float16.
    """
    say("Loading the base model")
    tuned = PeftModel.from_pretrained(load_base(base), str(adapter))
    ids = Tokenizer.from_file(str(base / "tokenizer.json")).encode(TEXT).ids[:PROBE_TOKENS]
    probe = torch.tensor([ids])
    expected = _logits(tuned, probe)
    say("Merging the adapter")
    try:
        merged: Any = tuned.merge_and_unload(
            safe_merge=True
        )  # a head of its own it unties from the embedding, and says so
    except ValueError as exc:  # NaN
        raise _different(f"its weights are no numbers: {exc}") from exc
    merged.to(torch.float16)
    aside = out.with_name(f".{out.name}")
    shutil.rmtree(aside, ignore_errors=True)
    merged.save_pretrained(aside, max_shard_size=SHARD)
    del tuned, merged
    for name in TOKENIZER:
        if (base / name).exists():
            shutil.copyfile(base / name, aside / name)
    _tell_older_readers(aside)
    say("Comparing")
    found = _logits(load_base(aside), probe)
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= TOLERANCE:  # NaN included
        shutil.rmtree(aside, ignore_errors=True)
        raise _different(f"logits differ by {difference:.2%} in float16")
    shutil.rmtree(out, ignore_errors=True)
    os.replace(aside, out)
    sync_folder(out.parent)
    return out


def _tell_older_readers(folder: Path) -> None:
    """Say things where readers of folders by transformers 4 look for them, as Ollama does: rope in the config, the template in the tokenizer's."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    rope = dict(config.get("rope_parameters") or {})
    if "rope_theta" in rope:
        config.setdefault("rope_theta", rope.pop("rope_theta"))
        if rope.get("rope_type", "default") != "default":
            config.setdefault("rope_scaling", rope)
    config.setdefault("torch_dtype", "float16")
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    path, template = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    if template.exists() and path.exists():
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings.setdefault("chat_template", template.read_text(encoding="utf-8"))
        path.write_text(json.dumps(settings, indent=2), encoding="utf-8")


def _logits(model: Any, probe: torch.Tensor) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=probe, use_cache=False).logits.float()
    return found


def _different(why: str) -> ModelFailure:
    return ModelFailure(
        f"The merged model does not answer as base and adapter do: {why}. It was not kept.",
        code="unsupported",
        hint="Push the adapter to Hugging Face instead: there it stays as it is.",
    )


def merge_main(argv: list[str]) -> int:
    """``merge``: see the module. Returns 0, or 1 after an error line."""
    parser = argparse.ArgumentParser(prog="python -m peft_studio.runner merge")
    for name in ("base", "adapter", "out"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args(argv)
    return report_work(lambda say: merge_adapter(args.base, args.adapter, args.out, say=say))
