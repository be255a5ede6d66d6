"""What the daemon takes of an adapter: the files themselves where it can read them, else GGUF, and a Modelfile that says the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft_studio.core.errors import AdapterMismatch, StudioError
from peft_studio.core.models.adapter_files import read_adapter
from peft_studio.core.models.gguf_adapter import ARCHITECTURES, build_gguf, check_places, find_reason_against
from peft_studio.core.services.publish.contents import SharedFile, disk_file, text_file

CONVERTED_THERE = frozenset({"llama", "gemma2"})  # whose safetensors adapters the daemon reads
GGUF_FILE = "adapter.gguf"
# Whole models whose safetensors the daemon converts (convert/convert.go, read November 2026). Mistral's is not among them.
MERGED_THERE = frozenset(
    {"LlamaForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "MixtralForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM"}
)  # fmt: skip


@dataclass(frozen=True)
class Package:
    """Files for the daemon, and what ``create`` is told besides."""

    files: tuple[SharedFile, ...]
    settings: Mapping[str, Any]


def find_reason_to_merge(adapter: Path, base_config: Mapping[str, Any]) -> str:
    """Why an adapter cannot stand beside its base there; empty where it can.

    Raises:
        AdapterMismatch: It cannot, and the daemon would not read the merged model either.
    """
    reason = find_reason_against(read_adapter(adapter).config, base_config)
    try:
        check_places(adapter)
    except AdapterMismatch as exc:
        reason = reason or exc.message
    architecture = next(iter(base_config.get("architectures") or ()), "unknown")
    if reason and architecture not in MERGED_THERE:
        raise AdapterMismatch(
            f"Ollama has no form for this adapter: {reason}. Nor does it convert a merged {architecture}.",
            hint="Push it to Hugging Face, or train lora or rslora.",
        )
    return reason


def build_merged(folder: Path, *, licence: str | None) -> Package:
    """A package of a merged model: its folder, which the daemon converts as a whole."""
    files = [
        disk_file(path.name, path) for path in sorted(folder.iterdir()) if path.suffix in (".json", ".safetensors")
    ]
    modelfile = "FROM .\n" + (f'LICENSE "{licence}"\n' if licence else "")
    settings = {"merged": True, **({"license": licence} if licence else {})}
    return Package((*files, text_file("Modelfile", modelfile)), settings)


def build_package(
    adapter: Path,
    shared: tuple[SharedFile, ...],
    base_config: Mapping[str, Any],
    *,
    from_model: str,
    method: str,
    licence: str | None,
) -> Package:
    """A package from an adapter's folder and its files as they would be shared.

    Raises:
        AdapterMismatch: The daemon cannot run it beside its base.
    """
    if not from_model or any(sign.isspace() for sign in from_model):
        raise StudioError(
            "Ollama needs the base model by its own name.",
            hint="from_model='smollm2:135m', say: the very model the adapter was trained on; `ollama list` names what is there.",
            fields=("from_model",),
        )
    family = str(base_config.get("model_type"))
    if method == "dora":
        raise AdapterMismatch(
            "Ollama has no form for a DoRA adapter.", hint="Push it to Hugging Face, or train lora or rslora."
        )
    check_places(adapter)
    # The daemon's own conversion knows no rsLoRA: it would scale by another factor.
    if family in CONVERTED_THERE and method != "rslora":
        files = tuple(file for file in shared if file.path in ("adapter_config.json", "adapter_model.safetensors"))
        points_at = "."
    else:
        files = (build_gguf_file(adapter, base_config),)
        points_at = f"./{GGUF_FILE}"
    modelfile = f"FROM {from_model}\nADAPTER {points_at}\n" + (f'LICENSE "{licence}"\n' if licence else "")
    settings = {"from": from_model, "family": ARCHITECTURES.get(family), "license": licence}
    return Package(
        (*files, text_file("Modelfile", modelfile)), {name: value for name, value in settings.items() if value}
    )


def build_gguf_file(adapter: Path, base_config: Mapping[str, Any]) -> SharedFile:
    """The adapter as one GGUF file."""
    import hashlib

    content = build_gguf(adapter, base_config, name="adapter")
    return SharedFile(GGUF_FILE, len(content), hashlib.sha256(content).hexdigest(), content=content)
