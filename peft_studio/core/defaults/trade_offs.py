"""What choosing a method or a quantization means: what it gives and what it costs. Shown wherever one is chosen.

Figures: quality and time are those of the sources named in docs/training.md; single runs differ by 1–2 points of accuracy by chance.
"""

from __future__ import annotations

METHODS = {
    "lora": "The one to start with: small, fast, and served everywhere.",
    "qlora": "LoRA on a 4-bit base: about a quarter of the memory for weights; steps take longer, quality drops slightly.",
    "dora": "Splits magnitude from direction: a little better at low rank, about 25 % slower; merge it before serving.",
    "rslora": "Scale α/√r instead of α/r: makes ranks of 32 and more worth their size.",
    "pissa": "Starts from the base's principal part and learns faster at first. Not on a quantised base; saved as plain LoRA of twice the rank.",
}
QUANTIZATIONS = {
    None: "No quantization: exact, the most memory.",
    "int8": "8-bit weights, outliers kept apart (LLM.int8): half the memory of 16-bit, little loss, slower steps.",
    "int4": "4-bit floating point (fp4): a quarter of the memory of 16-bit; nf4 is usually better at the same size.",
    "nf4": "4-bit NormalFloat with double quantization: a quarter of the memory of 16-bit, the best of the 4-bit forms.",
}
