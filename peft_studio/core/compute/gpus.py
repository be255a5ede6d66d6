"""GPUs that RunPod, Lambda and Vast.ai rent out, by their vendors' data sheets. One row a card; None where the vendor says nothing.

Peaks are dense (without structured sparsity, which data sheets like to double) and, for GeForce and RTX cards, with fp32 accumulation,
which is what training uses. The names are those of ``nvidia-smi`` and of the providers' catalogues, spelled as :func:`find_gpu` needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TERA, GIGA = 1e12, 1e9
_SHEET = "NVIDIA {} data sheet"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card. Peaks in operations a second, ``bandwidth`` in bytes a second, ``memory_gib`` as CUDA counts it, roughly.

    ``bf16`` is None where the card has no bfloat16 in its tensor cores.
    """

    name: str
    memory_gib: int
    bf16: float | None
    fp16: float | None
    int8: float | None
    bandwidth: float
    year: int
    source: str

    def peak(self, precision: str) -> float | None:
        """Dense peak of a precision that training uses; fp32 runs as TF32 at half the rate of bf16 on cards that have it."""
        if precision == "fp32":
            return self.bf16 / 2 if self.bf16 else None
        return {"bf16": self.bf16, "fp16": self.fp16}.get(precision)


def _row(
    name: str, memory: int, bf16: float | None, fp16: float | None, int8: float | None, *, gbps: float, year: int,
    source: str,
) -> Gpu:  # fmt: skip
    bf16, fp16, int8 = (None if peak is None else peak * TERA for peak in (bf16, fp16, int8))
    return Gpu(name, memory, bf16, fp16, int8, gbps * GIGA, year, source)


_GA102 = "NVIDIA Ampere GA102 whitepaper v2, appendix A"
_ADA = "NVIDIA Ada GPU architecture whitepaper v2, appendix A"
_RTX_BLACKWELL = "NVIDIA RTX Blackwell GPU architecture whitepaper v1.1, appendix A"
_VOLTA = "NVIDIA V100 data sheet"

GPUS: tuple[Gpu, ...] = (
    # data centre
    _row("B300", 288, 2250, 2250, None, gbps=8000, year=2025, source="NVIDIA HGX B300 data sheet, an eighth, dense"),
    _row("B200", 180, 2250, 2250, 4500, gbps=8000, year=2024, source="NVIDIA HGX B200 data sheet, an eighth, dense"),
    _row("GH200", 96, 989, 989, 1979, gbps=4000, year=2023, source=_SHEET.format("GH200 (96 GB HBM3)")),
    _row("H200 NVL", 141, 835, 835, 1671, gbps=4800, year=2024, source=_SHEET.format("H200")),
    _row("H200", 141, 989, 989, 1979, gbps=4800, year=2023, source=_SHEET.format("H200")),
    _row("H100 NVL", 94, 835, 835, 1671, gbps=3900, year=2023, source=_SHEET.format("H100")),
    _row("H100 PCIe", 80, 756, 756, 1513, gbps=2000, year=2022, source=_SHEET.format("H100 PCIe")),
    _row("H100", 80, 989, 989, 1979, gbps=3350, year=2022, source=_SHEET.format("H100")),
    _row("A100-80GB", 80, 312, 312, 624, gbps=2039, year=2020, source=_SHEET.format("A100 80GB SXM")),
    _row("A100 80GB PCIe", 80, 312, 312, 624, gbps=1935, year=2021, source=_SHEET.format("A100 80GB PCIe")),
    _row("A100", 40, 312, 312, 624, gbps=1555, year=2020, source=_SHEET.format("A100 40GB")),
    _row("A30", 24, 165, 165, 330, gbps=933, year=2021, source=_SHEET.format("A30")),
    _row("A10", 24, 125, 125, 250, gbps=600, year=2021, source=_SHEET.format("A10")),
    _row("A40", 48, 149.7, 149.7, 299.3, gbps=696, year=2020, source=_SHEET.format("A40")),
    _row("L40S", 48, 362.05, 362.05, 733, gbps=864, year=2023, source=_SHEET.format("L40S")),
    _row("L40", 48, 181.05, 181.05, 362, gbps=864, year=2022, source=_SHEET.format("L40")),
    _row("L4", 24, 121, 121, 242.5, gbps=300, year=2023, source=_SHEET.format("L4") + ", halved to dense"),
    _row("T4", 16, None, 65, 130, gbps=320, year=2018, source=_SHEET.format("T4")),
    _row("V100 SXM2 32GB", 32, None, 125, None, gbps=900, year=2018, source=_VOLTA),
    _row("V100 SXM2", 16, None, 125, None, gbps=900, year=2017, source=_VOLTA),
    _row("V100", 16, None, 112, None, gbps=900, year=2017, source=_VOLTA),
    # workstation
    _row("RTX PRO 6000", 96, 500, 500, None, gbps=1792, year=2025, source="NVIDIA RTX PRO 6000 Blackwell data sheet: 4,000 fp4 TOPS with sparsity, an eighth"),
    _row("RTX 6000 Ada", 48, 364.2, 364.2, None, gbps=960, year=2022, source="NVIDIA RTX 6000 Ada data sheet: 1,457 fp8 TFLOPS with sparsity, a quarter"),
    _row("RTX A6000", 48, 154.8, 154.8, 309.7, gbps=768, year=2020, source=_GA102),
    _row("RTX A5000", 24, 111.1, 111.1, 222.2, gbps=768, year=2021, source=_SHEET.format("RTX A5000") + ", halved to dense"),
    _row("RTX A4000", 16, 76.7, 76.7, None, gbps=448, year=2021, source=_SHEET.format("RTX A4000") + ", halved to dense"),
    # GeForce: tensor cores at half rate with fp32 accumulation
    _row("RTX 5090", 32, 209.5, 209.5, 838, gbps=1792, year=2025, source=_RTX_BLACKWELL),
    _row("RTX 5080", 16, 112.6, 112.6, 450.2, gbps=960, year=2025, source=_RTX_BLACKWELL),
    _row("RTX 4090", 24, 165.2, 165.2, 660.6, gbps=1008, year=2022, source=_ADA),
    _row("RTX 4080", 16, 97.5, 97.5, 389.9, gbps=717, year=2022, source=_ADA),
    _row("RTX 3090 Ti", 24, 80, 80, 320, gbps=1008, year=2022, source=_ADA),
    _row("RTX 3090", 24, 71, 71, 284, gbps=936, year=2020, source=_GA102),
    _row("RTX 3080", 10, 59.5, 59.5, 238, gbps=760, year=2020, source=_GA102),
)  # fmt: skip


def find_gpu(name: str) -> Gpu | None:
    """The card that a driver or a provider calls so: ``NVIDIA H100 80GB HBM3``, ``RTX 4090``; None for one that is not in the table.

    Every word of the row's name must be in the given one, and the most words win; a laptop's card is another card.
    """
    given = set(_words(name))
    if given & {"laptop", "mobile", "max"}:
        return None
    matches = [gpu for gpu in GPUS if set(_words(gpu.name)) <= given]
    return max(matches, key=lambda gpu: len(_words(gpu.name)), default=None)


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", re.sub(r"(\d+) gb", r"\1gb", name.lower().replace("_", " ")))
