"""Models as results of a search: those of this machine, and those of registries, in one list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft_studio.core.models.catalog import EMBEDDED
from peft_studio.core.models.facts import build_model_facts, read_config
from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.ports.registry import RegistryModel
from peft_studio.core.services.model_fit import HERE


def describe_here(name: str, folder: Path | None) -> tuple[RegistryModel, dict[str, Any] | None]:
    """A model that a package carries or that was prepared, and its config.json; ``folder`` is None where it was not yet."""
    config, size_bytes = None, None
    if folder is not None:
        size_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        try:
            config = read_config(folder)
        except ModelFailure:
            config = None
    embedded = EMBEDDED.get(name)
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
