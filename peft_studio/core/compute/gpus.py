"""GPUs that RunPod, Lambda and Vast.ai rent out, by their vendor's documents. One row a card; None for what was found in no source.

Peaks are dense: where a document prints only those with structured sparsity, they were halved (int8 and fp16 alike). For GeForce and
RTX cards the fp16 peak is that with fp32 accumulation, which training uses: on GeForce half of the one with fp16 accumulation. For L4
and L40S NVIDIA does not say which of the two it prints. Memory is as sold. The names are those of ``nvidia-smi`` and of the
providers' catalogues, spelled as :func:`find_gpu` needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TERA, GIGA = 1e12, 1e9


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card. Peaks in operations a second, ``bandwidth`` in bytes a second, ``memory_gib`` as sold.

    The driver shows some 2 per cent less, and 6 where error correction takes its part of GDDR6 (T4 15.0 GiB, L4 22.5, A40 and L40S 45.0).
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


_HOPPER = "NVIDIA H100 Tensor Core GPU architecture whitepaper v1.04, table 3"
_H100 = "NVIDIA H100 product page, specifications, halved to dense"
_H200 = "NVIDIA H200 product page, specifications, halved to dense"
_VOLTA = "NVIDIA Technical Blog: NVIDIA Ampere Architecture In-Depth (2020), table with V100"
_GA102 = "NVIDIA Ampere GA102 GPU architecture whitepaper v2, "
_ADA = "NVIDIA Ada GPU architecture whitepaper v2.1, appendix A, table 2"
_ADA_PRO = "NVIDIA Ada GPU architecture whitepaper for professional visualization v1.1"
_RTX_BLACKWELL = "NVIDIA RTX Blackwell GPU architecture whitepaper v1.1 (2025)"
_RTX_PRO = "NVIDIA RTX PRO Blackwell GPU architecture whitepaper v1.0 (2025), table 4, Workstation Edition"

GPUS: tuple[Gpu, ...] = (
    # data centre
    _row("B300", 270, 2250, 2250, 153.5, gbps=7700, year=2025, source="NVIDIA HGX B300 data sheet (2025), per GPU, halved to dense"),
    _row("B200", 180, 2250, 2250, 4500, gbps=7700, year=2024, source="NVIDIA Blackwell data sheet, HGX B200 column, halved to dense"),
    _row("GH200", 96, 990, 990, None, gbps=4000, year=2023, source="NVIDIA GH200 Grace Hopper Superchip data sheet, HBM3"),
    _row("H200 NVL", 141, 835.5, 835.5, 1670.5, gbps=4800, year=2024, source=_H200),
    _row("H200", 141, 989.5, 989.5, 1979, gbps=4800, year=2023, source=_H200),
    _row("H100 NVL", 94, 835.5, 835.5, 1670.5, gbps=3900, year=2023, source=_H100),
    _row("H100 PCIe", 80, 756, 756, 1513, gbps=2000, year=2022, source=f"{_HOPPER}; NVIDIA H100 PCIe product brief PB-11133 (2022)"),
    _row("H100", 80, 989.4, 989.4, 1978.9, gbps=3350, year=2022, source=f"{_HOPPER}; bandwidth: H100 product page"),
    _row("A100-80GB", 80, 312, 312, 624, gbps=2039, year=2020, source="NVIDIA A100 data sheet, 80GB SXM"),
    _row("A100 80GB PCIe", 80, 312, 312, 624, gbps=1935, year=2021, source="NVIDIA A100 data sheet, 80GB PCIe"),
    _row("A100", 40, 312, 312, 624, gbps=1555, year=2020, source="NVIDIA A100 data sheet, 40GB"),
    _row("A30", 24, 165, 165, 330, gbps=933, year=2021, source="NVIDIA A30 data sheet"),
    _row("A10", 24, 125, 125, 250, gbps=600, year=2021, source="NVIDIA A10 data sheet"),
    _row("A40", 48, 149.7, 149.7, 299.3, gbps=696, year=2020, source="NVIDIA A40 data sheet"),
    _row("L40S", 48, 362.05, 362.05, 733, gbps=864, year=2023, source="NVIDIA L40S product page, specifications"),
    _row("L40", 48, 181.05, 181.05, 362, gbps=864, year=2022, source="NVIDIA L40 data sheet"),
    _row("L4", 24, 121, 121, 242.5, gbps=300, year=2023, source="NVIDIA L4 product page, specifications, halved to dense"),
    # the T4's data sheet prints 300 GB/s
    _row("T4", 16, None, 65, 130, gbps=320, year=2018, source="NVIDIA T4 data sheet (2019); bandwidth: NVIDIA Turing whitepaper (2018), table 5"),
    _row("V100 SXM2 32GB", 32, None, 125, None, gbps=900, year=2018, source=_VOLTA),
    _row("V100 SXM2", 16, None, 125, None, gbps=900, year=2017, source=_VOLTA),
    _row("V100", 16, None, 112, None, gbps=900, year=2017, source="NVIDIA V100 data sheet, PCIe"),
    # workstation
    _row("RTX PRO 6000", 96, 503.8, 503.8, None, gbps=1792, year=2025, source=_RTX_PRO),
    _row("RTX 6000 Ada", 48, 364.2, 364.2, None, gbps=960, year=2022, source=_ADA_PRO),
    _row("RTX A6000", 48, 154.8, 154.8, 309.7, gbps=768, year=2020, source=_GA102 + "table 3"),
    _row("RTX A5000", 24, 111.1, 111.1, None, gbps=768, year=2021, source="NVIDIA RTX A5000 data sheet, halved to dense"),
    _row("RTX A4000", 16, 76.7, 76.7, None, gbps=448, year=2021, source="NVIDIA RTX A4000 data sheet, halved to dense"),
    # GeForce
    _row("RTX 5090", 32, 209.5, 209.5, 838, gbps=1792, year=2025, source=_RTX_BLACKWELL + ", appendix A"),
    _row("RTX 5080", 16, 112.6, 112.6, 450.2, gbps=960, year=2025, source=_RTX_BLACKWELL + ", appendix B"),
    _row("RTX 4090", 24, 165.2, 165.2, 660.6, gbps=1008, year=2022, source=_ADA),
    _row("RTX 4080", 16, 97.5, 97.5, None, gbps=717, year=2022, source=_RTX_BLACKWELL + ", appendix B"),
    # 320 tensor TFLOPS were announced: with sparsity and fp16 accumulation, so a quarter
    _row("RTX 3090 Ti", 24, 80, 80, None, gbps=1008, year=2022, source="NVIDIA GeForce announcement at CES (2022), a quarter"),
    _row("RTX 3090", 24, 71, 71, 284, gbps=936, year=2020, source=_GA102 + "appendix A, table 9"),
    _row("RTX 3080", 10, 59.5, 59.5, None, gbps=760, year=2020, source=_GA102 + "table of the GeForce RTX 3080"),
)  # fmt: skip


def find_gpu(name: str) -> Gpu | None:
    """The card that a driver or a provider calls so: ``NVIDIA H100 80GB HBM3``, ``RTX 4090``; None for one that is not in the table.

    Every word of the row's name must be in the given one, and the most words win. A laptop's card is another card, and so is a
    server edition (of the RTX PRO 6000: slower memory, and no dense peak of it was found).
    """
    given = set(_words(name))
    if given & {"laptop", "mobile", "max", "server"}:
        return None
    matches = [gpu for gpu in GPUS if set(_words(gpu.name)) <= given]
    return max(matches, key=lambda gpu: len(_words(gpu.name)), default=None)


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", re.sub(r"(\d+) gb", r"\1gb", name.lower().replace("_", " ")))
