"""Whether a LoRA adapter fits a base model: decided from names, shapes and provenance, before anything is tried.

Pure rules. Reading the files is ``adapter_files``; attaching them is the runner's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peft_studio.core.models.catalog import EMBEDDED
from peft_studio.core.models.prepared import is_hub_id
from peft_studio.core.models.weights import FINGERPRINT_PREFIX

# peft's own key names: …<module>.lora_A.weight; the adapter's name has been taken out on saving.
_LORA_KEY = re.compile(
    r"^base_model\.model\.(?P<module>.+)\."
    r"(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)(\.(?P<leaf>weight|bias))?$"
)
# Initialisations that also change the base's weights: such an adapter belongs to a base that exists nowhere else.
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Mismatch:
    """One reason why an adapter cannot join a base model, and the way out."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True)
class BaseShape:
    """What an adapter is checked against. ``modules``: module path → (out, in); empty when it is not known."""

    name: str
    modules: Mapping[str, Shape]
    fingerprint: str | None = None


@dataclass(frozen=True)
class AdapterShape:
    """What is known of an adapter from its files: config, tensor shapes and what we wrote beside it."""

    config: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """``lora``, ``rslora`` or ``dora``."""
        if self.config.get("use_dora"):
            return "dora"
        return "rslora" if self.config.get("use_rslora") else "lora"

    @property
    def layout(self) -> tuple[Any, ...]:
        """Equal for two adapters exactly when one's weights can be copied over the other's."""
        keys = ("lora_alpha", "alpha_pattern", "use_rslora", "use_dora", "lora_bias", "fan_in_fan_out")
        return (tuple(sorted(self.shapes.items())), tuple(str(self.config.get(key)) for key in keys))


def find_mismatches(adapter: AdapterShape, base: BaseShape) -> list[Mismatch]:
    """Every reason why this adapter cannot work on this base; empty means that it can be attached."""
    kind = _find_kind(adapter.config)
    if kind:
        return [kind]
    found = [*_find_other_base(adapter, base), *_find_bad_shapes(adapter, base)]
    return found[:5]  # one wrong base gives hundreds of wrong shapes


def list_notes(adapter: AdapterShape) -> list[str]:
    """What a person should know of an adapter that fits: things that cost speed or memory."""
    notes = []
    if adapter.config.get("use_dora"):
        notes.append("DoRA: each layer's weight norm is computed anew, so answers come slower than with LoRA.")
    extra = sorted({key for key in adapter.shapes if not _LORA_KEY.match(key)})
    if extra:
        notes.append(
            f"It carries {len(extra)} whole tensors of its own (modules_to_save), which take memory per adapter."
        )
    return notes


def _find_kind(config: Mapping[str, Any]) -> Mismatch | None:
    kind = config.get("peft_type")
    if kind != "LORA":
        why = f"its kind is {kind!r}, and only LoRA, rsLoRA and DoRA can be swapped."
        return Mismatch("kind", why, "Merge it into a model of its own, or train a LoRA.")
    init = str(config.get("init_lora_weights", True)).lower()
    if init.startswith(_CHANGES_BASE):
        return Mismatch(
            "unconverted",
            f"it was saved without conversion from its {init} start, so it would change the base under other adapters.",
            "Save it again with path_initial_model_for_weight_conversion; runs of PEFT Studio do this by themselves.",
        )
    if config.get("megatron_config"):
        why = "its config names a Python module to import (megatron_core), and an adapter is never code."
        return Mismatch("code", why, "Save it again without megatron_config.")
    if config.get("bias", "none") != "none" or config.get("layer_replication"):
        return Mismatch(
            "changes-base",
            "it changes the base itself (bias or layer_replication), which would change the answers of other adapters.",
            "Train with bias='none' and no layer_replication, or merge it into a model of its own.",
        )
    return None


def _find_other_base(adapter: AdapterShape, base: BaseShape) -> list[Mismatch]:
    named = str(adapter.provenance.get("base_model") or adapter.config.get("base_model_name_or_path") or "")
    if named and _same_name(named, base.name) is True:
        trained_on = adapter.provenance.get("base_sha256")
        comparable = base.fingerprint is not None and str(trained_on).startswith(FINGERPRINT_PREFIX)
        if not comparable or trained_on == base.fingerprint or named != base.name:
            return []
        why = f"it was trained on other weights of {named} than the ones here (their digests differ)."
        return [Mismatch("other-base", why, "Open the chat with the revision it was trained on.")]
    if base.fingerprint and adapter.provenance.get("base_sha256") == base.fingerprint:
        return []  # another name for the same weights
    if named and _same_name(named, base.name) is False:
        why = f"it was trained on {named}, and this is {base.name}."
        return [Mismatch("other-base", why, f"Open the chat with {named}; an adapter says nothing to another model.")]
    return []


def _same_name(one: str, other: str) -> bool | None:
    """True or False for names that can be compared; None when a path is involved, which means little elsewhere."""
    one, other = _spell(one), _spell(other)
    if one == other:
        return True
    return False if is_hub_id(one) and is_hub_id(other) else None


def _spell(name: str) -> str:
    """Lower case; an embedded model and the repository it was made from count as one."""
    lower = name.strip().lower()
    aliases = {model.hub_id.lower(): model.name for model in EMBEDDED.values()}
    return aliases.get(lower, lower)


def _find_bad_shapes(adapter: AdapterShape, base: BaseShape) -> list[Mismatch]:
    if not adapter.shapes:
        return [Mismatch("empty", "it has no tensors.", "Copy the adapter folder again.")]
    found = []
    for key, shape in sorted(adapter.shapes.items()):
        match = _LORA_KEY.match(key)
        if match is None:
            wrong = _find_wrong_copy(key, shape, base)
        elif match["leaf"] == "bias":
            continue
        else:
            wrong = _find_wrong_rank(adapter.config, match, shape) or _find_wrong_target(
                adapter.config, match, shape, base
            )
        if wrong:
            found.append(wrong)
    return found


def _find_wrong_copy(key: str, shape: Shape, base: BaseShape) -> Mismatch | None:
    """Whole tensors in an adapter replace the base's own, so they must have its shapes (a resized vocabulary has not)."""
    module = key.removeprefix("base_model.model.").replace(".base_layer.", ".").removesuffix(".weight")
    target = find_module(base.modules, module)
    if target is None or target == shape:
        return None
    why = f"it carries its own {module} of shape {list(shape)}, the base has {list(target)}."
    return Mismatch("shape", why, "Its vocabulary was resized in training; merge it into a model of its own.")


def _find_wrong_rank(config: Mapping[str, Any], key: re.Match[str], shape: Shape) -> Mismatch | None:
    part, module = key["part"], key["module"]
    if part == "lora_magnitude_vector":
        return None
    rank = _get_rank(config, module)
    found = shape[0] if part in ("lora_A", "lora_embedding_A") else shape[1] if len(shape) > 1 else 0
    if found == rank:
        return None
    why = f"its config says rank {rank} for {module}, its weights have rank {found}."
    return Mismatch("rank", why, "Config and weights are from different runs; copy both from one run.")


def _find_wrong_target(config: Mapping[str, Any], key: re.Match[str], shape: Shape, base: BaseShape) -> Mismatch | None:
    if not base.modules:
        return None
    module, part = key["module"], key["part"]
    target = find_module(base.modules, module)
    if target is None:
        why = f"it adapts {module}, which {base.name} does not have."
        return Mismatch("target", why, "It belongs to another architecture or size; open the chat with that model.")
    if len(target) != 2 or len(shape) > 2:
        return None  # convolutions and stacked experts: peft checks them on attaching
    out, into = reversed(target) if config.get("fan_in_fan_out") else target
    # lora_A (r, in) · lora_B (out, r); embeddings are stored the other way round: A (r, out) · B (in, r)
    expected = {"lora_A": into, "lora_embedding_A": out, "lora_B": out, "lora_embedding_B": into}.get(part, out)
    found = shape[0] if part in ("lora_B", "lora_embedding_B", "lora_magnitude_vector") else shape[1]
    if found == expected:
        return None
    why = f"its {part} for {module} has width {found}, the layer has {expected}."
    return Mismatch("shape", why, "It belongs to a model of another size; open the chat with that one.")


def find_module(modules: Mapping[str, Shape], name: str) -> Shape | None:
    """The shape of a module, where files may lack the wrapper's prefix (``transformer.``) or a tied output head."""
    if name in modules:
        return modules[name]
    shorter = name.partition(".")[2]
    if shorter in modules:
        return modules[shorter]
    if name == "lm_head":
        return next((shape for path, shape in modules.items() if path.endswith(("embed_tokens", "wte"))), None)
    return None


def _get_rank(config: Mapping[str, Any], module: str) -> int:
    """The rank of one module: ``rank_pattern`` has suffixes or regular expressions, as in peft's get_pattern_key."""
    for pattern, rank in (config.get("rank_pattern") or {}).items():
        if module == pattern or re.match(rf"(.*\.)?({pattern})$", module):
            return int(rank)
    return int(config.get("r") or 0)
