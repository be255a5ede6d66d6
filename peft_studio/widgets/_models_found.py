"""Models as results of a search: those of this machine, and those of registries, in one list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft_studio.core.models.catalog import EMBEDDED
from peft_studio.core.models.facts import build_model_facts
from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.prepared import find_config, find_prepared
from peft_studio.core.ports.registry import RegistryModel
from peft_studio.core.services.model_fit import HERE


def describe_here(name: str, home: Path) -> tuple[RegistryModel, dict[str, Any] | None]:
    """A model that a package carries or that was prepared, and its config.json."""
    folder, embedded = find_prepared(name, home), EMBEDDED.get(name)
    if folder is not None:
        size_bytes: int | None = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    else:
        size_bytes = embedded.weights_bytes if embedded else None
    try:
        config = find_config(name, home)
    except ModelFailure:
        config = None
    model = RegistryModel(
        id=name[:300], registry=HERE, task="text-generation", size_bytes=size_bytes,
        parameters=build_model_facts(config).parameters if config else None,
        title=embedded.title if embedded else None, licence=embedded.license.lower() if embedded else None,
        base_models=(embedded.hub_id,) if embedded else (),
    )  # fmt: skip
    return model, config


def matches(model: RegistryModel, text: str) -> bool:
    """Whether a name has all these words."""
    name = f"{model.id} {model.title or ''}".lower()
    return all(word in name for word in text.lower().split())
