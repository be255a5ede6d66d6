"""Reads an adapter's folder and a base model's shapes from file headers, and refuses a pair that cannot work.

Opens JSON and safetensors headers only: no torch, and never a pickle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peft_studio.core.errors import AdapterMismatch
from peft_studio.core.models.adapters import AdapterShape, BaseShape, Mismatch, find_mismatches
from peft_studio.core.models.facts import read_model_facts
from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.prepared import MARKER, get_base_name
from peft_studio.core.models.weights import TornFile, fingerprint_base, list_weight_files, read_header, read_tensors

WEIGHTS = "adapter_model.safetensors"
_COPY_AGAIN = "Copy the whole adapter folder again; it needs adapter_config.json and adapter_model.safetensors."


def read_adapter(folder: Path | str) -> AdapterShape:
    """Config, tensor shapes and provenance of an adapter folder.

    Raises:
        AdapterMismatch: Files are missing, torn or pickles.
    """
    path = Path(folder)
    config = _read_json(path / "adapter_config.json")
    if config is None:
        raise AdapterMismatch(f"{path} has no readable adapter_config.json, so it is no adapter.", hint=_COPY_AGAIN)
    weights = path / WEIGHTS
    try:
        header = read_header(weights)
    except FileNotFoundError as exc:
        pickles = sorted(file.name for file in path.glob("adapter_model.*") if file.suffix != ".safetensors")
        if pickles:
            raise AdapterMismatch(
                f"{path} has its weights only as pickle ({pickles[0]}); opening one runs its author's code.",
                hint="Ask for adapter_model.safetensors, or convert it on a machine that you can afford to lose.",
            ) from exc
        raise AdapterMismatch(f"{path} has no {WEIGHTS}.", hint=_COPY_AGAIN) from exc
    except (TornFile, OSError) as exc:
        raise AdapterMismatch(f"{weights} is not whole: {exc}.", hint=_COPY_AGAIN) from exc
    shapes = {name: tensor.shape for name, tensor in header.items()}
    provenance = _read_json(path / MARKER) or {}
    digest = None if provenance.get("base_sha256") else _find_digest(config.get("base_model_name_or_path"))
    return AdapterShape(config=config, shapes=shapes, provenance=provenance, named_digest=digest)


def _find_digest(named: Any) -> str | None:
    """The digest of the base that an adapter names by its folder, if that is on this machine."""
    # A stranger's file: two leading slashes would have Windows ask a server of his, and give it this user's name.
    if not isinstance(named, str) or named[:2].replace("\\", "/") == "//" or not Path(named).is_absolute():
        return None
    try:
        return fingerprint_base(named) if list_weight_files(Path(named)) else None
    except (ModelFailure, OSError, ValueError, KeyError):  # torn, or no model at all: it tells nothing
        return None


def read_base_shape(folder: Path | str) -> BaseShape:
    """Name, module shapes and digest of a prepared base model. Raises ModelFailure."""
    path = Path(folder)
    modules: dict[str, tuple[int, ...]] = {}
    if not read_model_facts(path).quantized:  # a quantised file holds packed shapes, which say nothing here
        modules = {
            name.removesuffix(".weight"): tensor.shape
            for name, tensor in read_tensors(path).items()
            if name.endswith(".weight") and len(tensor.shape) >= 2
        }
    return BaseShape(name=get_base_name(path), modules=modules, fingerprint=fingerprint_base(path))


def check_adapter(folder: Path | str, base: BaseShape, *, name: str = "", same_base: bool = False) -> AdapterShape:
    """Refuse an adapter that cannot work on this base; else return what was read.

    ``same_base``: take it to be trained on this base, whatever name or digest it carries.

    Raises:
        AdapterMismatch: With every reason found (at most five) and the first one's way out.
    """
    adapter = read_adapter(folder)
    found = find_mismatches(adapter, base, same_base=same_base)
    if found:
        raise build_refusal(found, name=name or Path(folder).name)
    return adapter


def build_refusal(found: list[Mismatch], *, name: str) -> AdapterMismatch:
    """The error for a list of reasons."""
    reasons = "; ".join(mismatch.message.rstrip(".") for mismatch in found) + "."
    return AdapterMismatch(f"The adapter {name!r} does not fit: {reasons}", hint=found[0].hint, code=found[0].code)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
