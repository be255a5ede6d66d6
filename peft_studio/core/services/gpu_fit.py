"""The smallest rented GPU on which a base model can be trained, by each method. Pure: shapes and cards in; what a card costs is not known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peft_studio.core.compute import GPUS, Gpu
from peft_studio.core.services.model_fit import METHODS, Machine, MethodFit, fit_methods


@dataclass(frozen=True, slots=True)
class GpuFit:
    """A method and the smallest card that it fits with room. ``gpu`` and ``found`` are None where no single one is enough.

    Smallest is least memory, and of those the slowest. ``others``: cards of the same memory.
    """

    method: str
    gpu: Gpu | None = None
    found: MethodFit | None = None
    others: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The method as people write it."""
        return METHODS[self.method]


def machine_of(gpu: Gpu) -> Machine:
    """A card with all of its memory free."""
    return Machine("cuda", gpu.name, gpu.bf16 is not None, gpu.memory_gib * 2**30, here=False)


def find_smallest(config: Mapping[str, Any], gpus: Sequence[Gpu] = GPUS) -> tuple[GpuFit, ...]:
    """By method, LoRA first; nothing where the config does not tell the shapes. Cards without bfloat16 are left out.

    Args:
        config: The model's parsed config.json.
        gpus: What is for rent.
    """
    usual = sorted((gpu for gpu in gpus if gpu.bf16), key=lambda gpu: (gpu.memory_gib, gpu.bf16))
    waiting = dict.fromkeys(METHODS)
    found: dict[str, GpuFit] = {}
    for gpu in usual:
        methods = fit_methods(config, machine_of(gpu))
        if not methods:
            return ()
        for one in methods:
            if one.fit == "ok" and one.method in waiting:
                del waiting[one.method]
                same = tuple(it.name for it in usual if it.memory_gib == gpu.memory_gib and it is not gpu)
                found[one.method] = GpuFit(one.method, gpu, one, same)
        if not waiting:
            break
    return tuple(found.get(method, GpuFit(method)) for method in METHODS) if usual else ()


def gpus_sentence(found: Sequence[GpuFit]) -> str:
    """``fits an RTX 3090 (24 GiB) with LoRA, an RTX A4000 (16 GiB) with QLoRA``; empty where nothing is known."""
    fitting = [one for one in found if one.gpu]
    if not fitting:
        return "no single GPU of the table is enough" if found else ""
    cards = {one.gpu.name: one.gpu for one in fitting if one.gpu}
    parts = [
        f"{_an(name)} {name} ({gpu.memory_gib} GiB) with {' or '.join(one.title for one in fitting if one.gpu is gpu)}"
        for name, gpu in cards.items()
    ]
    missing = [one.title for one in found if not one.gpu]
    return f"fits {', '.join(parts)}" + (f"; no single GPU is enough for {' or '.join(missing)}" if missing else "")


def _an(name: str) -> str:
    return "an" if name[0] in "AEFHILMNORSX" else "a"  # as its first letter is spoken
