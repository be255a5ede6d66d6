"""Whether a LoRA adapter fits a base model: decided from names, shapes and provenance, before anything is tried.

Pure rules. Reading the files is ``adapter_files``; attaching them is the runner's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peft_studio.core.models.adapter_base import Trained, Verdict, judge_base

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
    """What is known of an adapter from its files: config, tensor shapes and what we wrote beside it.

    ``named_digest`` is of the weights in the folder that its config names, where that stands on this machine.
    """

    config: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    named_digest: str | None = None

    @property
    def trained(self) -> Trained:
        """What it says of its base; our own word before peft's."""
        name = str(self.provenance.get("base_model") or self.config.get("base_model_name_or_path") or "")
        ours = self.provenance.get("base_sha256")
        if isinstance(ours, str):
            return Trained(name, ours)
        return Trained(name, self.named_digest, by_folder=self.named_digest is not None)

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


def judge(adapter: AdapterShape, base: BaseShape) -> Verdict:
    """Whether it was trained on this base, as far as that can be known."""
    return judge_base(adapter.trained, name=base.name, digest=base.fingerprint)


def find_mismatches(adapter: AdapterShape, base: BaseShape, *, same_base: bool = False) -> list[Mismatch]:
    """Every reason why this adapter cannot work on this base; empty means that it can be attached.

    ``same_base`` is a person's word that it was trained on this base, whatever name or digest it carries.
    """
    kind = _find_kind(adapter.config)
    if kind:
        return [kind]
    found = [*([] if same_base else _find_other_base(adapter, base)), *_find_bad_shapes(adapter, base)]
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
    verdict = judge(adapter, base)
    return [Mismatch("other-base", verdict.message, verdict.hint)] if verdict.kind == "other" else []


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
