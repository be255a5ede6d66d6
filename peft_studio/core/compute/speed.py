"""How fast a device trains: measured on this machine, or a card's published peak through the share of it that real loops reach.

Measured ones carry one line of coefficients for each precision and loop, see ``runner/trainer/speed.py``. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from peft_studio.core.compute.gpus import Gpu

# Real steps over the quickest of a few repeated ones, whose caches are warm. Set on eight pilot runs in
# one process, by CPU time; not on the developed half of benchmarks/time.
COLD = 1.18
_WARM = ("fixed_s", "layer_s", "weight_s", "s_per_flop", "s_per_byte", "attention_s")


@dataclass(frozen=True, slots=True)
class Range:
    """A factor that is not known exactly."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Launches:
    """Seconds in which a processor hands a GPU one layer's work of a micro-batch, forward and backward, while the GPU is at what came before.

    ``layer_s`` for the bare layer, ``adapter_s`` for each adapter in it, ``quantised_s`` for each quantised weight.
    """

    layer_s: float
    adapter_s: float
    quantised_s: float


@dataclass(frozen=True, slots=True)
class Products:
    """Seconds of a micro-batch, forward and backward: ``fixed_s`` + layers · ``layer_s`` + weights · ``weight_s`` + FLOPs · ``s_per_flop`` +
    bytes · ``s_per_byte``,
    ``attention_s`` for each operation of attention, ``logit_s`` for each logit beyond its product, ``dropout_s`` for each number that
    dropout may drop. Where there are ``launches``, they go on beside all this, and the longer of the two is what a micro-batch takes.
    """

    precision: str
    loop: str
    fixed_s: float
    layer_s: float
    weight_s: float
    s_per_flop: float
    s_per_byte: float
    attention_s: float
    logit_s: float
    dropout_s: float
    launches: Launches | None = None


# What share of a card's dense peak LoRA training reaches, at 4N operations a token. Hugging Face's Trainer with peft: 22 % of an L40S's
# (Llama-3.2-3B, 7,198 tokens/s: peft method_comparison/MetaMathQA) and 30 % of an A100's (Qwen-7B, 3,151 tokens/s: QwenLM/Qwen README,
# "Profiling of Memory and Speed"). Best published: NVIDIA's own recipe, 41 % of an H100's (402 TFLOP/s: NeMo AutoModel,
# docs/performance-summary.md). Ours on a GPU is the Trainer; the low end leaves room for micro-batches too small to fill a card.
TRAINER_SHARE = Range(0.25, 0.11, 0.42)
DISTURBED = Range(1.0, 0.35, 1.6)  # of a measurement that others slowed down: likely too slow
_GPU_TRAFFIC_SHARE = 0.7  # of the published bandwidth that copies reach
# Measured on an H100 with 16 virtual cores (torch 2.11, peft 0.21, adapters on seven weights of a layer): 6.5 to 7.5 ms a layer, 12.4 with
# nf4; two thirds of the forward pass are peft's (docs/decisions/2026-11-27-what-an-h100-showed.md). Other processors were not measured.
GPU_LAUNCHES = Launches(layer_s=2.3e-3, adapter_s=0.62e-3, quantised_s=0.8e-3)
_GPU_IMPORTS_S = 15.0  # measured there: imports, the card's context, Trainer
_GPU_DISK = 1.0e9


@dataclass(frozen=True, slots=True)
class DeviceSpeed:
    """What duration is estimated from.

    Attributes:
        name: The device.
        basis: In one clause how it is known: "measured on this machine on 26 November 2026".
        products: One a precision and loop.
        memory_bytes_per_s: Copies beyond any cache.
        imports_s: From the start of a process until the libraries are there.
        unpack_s: Seconds a quantised weight takes each time a micro-batch goes through it, by quantization.
        disturbed: Whether other programs took part of the machine while it was measured.
        spread: How far training may lie from what this says, before anything has been learned.
    """

    name: str
    basis: str
    products: tuple[Products, ...]
    memory_bytes_per_s: float
    imports_s: float
    disk_bytes_per_s: float
    unpack_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    matmul: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    spread: Range = Range(1.0, 0.75, 1.35)
    disturbed: bool = False

    def find(self, precision: str, loop: str) -> Products | None:
        """The coefficients for a precision and loop; those of fp32 where a CPU has only these."""
        named = [one for one in self.products if one.precision == precision]
        return next((one for one in named if one.loop == loop), named[0] if named else None)


def parse_speed(raw: Mapping[str, Any], *, name: str, basis: str) -> DeviceSpeed:
    """A speed from what the runner measured.

    Raises:
        KeyError, TypeError, ValueError: It is of another form.
    """
    return DeviceSpeed(
        name=name, basis=basis, products=tuple(_cold(Products(**one)) for one in raw["loops"]),
        memory_bytes_per_s=float(raw["memory_bytes_per_s"]), imports_s=float(raw["imports_s"]),
        disk_bytes_per_s=float(raw["disk_bytes_per_s"]), unpack_s=MappingProxyType(dict(raw["unpack_s"])),
        matmul=MappingProxyType({key: tuple(value) for key, value in raw["matmul"].items()}),
    )  # fmt: skip


def _cold(measured: Products) -> Products:
    return replace(measured, **{name: COLD * getattr(measured, name) for name in _WARM})


def gpu_speed(gpu: Gpu) -> DeviceSpeed:
    """A card's speed by its data sheet: peak through the share of it that the Trainer is known to reach, with that range."""
    share = TRAINER_SHARE
    products = tuple(
        Products(precision, loop, fixed_s=5e-3, layer_s=0.0, weight_s=2 * 2 / (gpu.bandwidth * _GPU_TRAFFIC_SHARE), s_per_flop=1 / (peak * share.value), s_per_byte=0.0, attention_s=1 / (peak * share.value), dropout_s=8 / (gpu.bandwidth * _GPU_TRAFFIC_SHARE),
                 logit_s=6 * 4 / (gpu.bandwidth * _GPU_TRAFFIC_SHARE), launches=GPU_LAUNCHES)
        for precision in ("bf16", "fp16", "fp32")
        for loop in ("reference",)
        if (peak := gpu.peak(precision))
    )  # fmt: skip
    basis = f"the data sheet's peak ({gpu.source}) at {share.low:.0%} to {share.high:.0%}, the range of published LoRA runs".replace(
        "%", " %"
    )
    return DeviceSpeed(
        name=gpu.name, basis=basis, products=products, memory_bytes_per_s=gpu.bandwidth * _GPU_TRAFFIC_SHARE,
        imports_s=_GPU_IMPORTS_S, disk_bytes_per_s=_GPU_DISK, unpack_s=MappingProxyType({}),
        spread=Range(1.0, share.value / share.high, share.value / share.low),
    )  # fmt: skip
