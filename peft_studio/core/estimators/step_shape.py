"""What of a spec decides the memory of a training step, and how wide its numbers are."""

from __future__ import annotations

from dataclasses import dataclass

WIDTH = {"fp32": 4, "bf16": 2, "fp16": 2}
FP32 = 4


@dataclass(frozen=True, slots=True)
class StepShape:
    """A micro-batch on one device.

    Attributes:
        tokens: Of the micro-batch, padding included, in ``rows`` rows.
        fast: Our own loop: flat rows, fused LoRA products, the loss in chunks.
        chunked_loss: The reference loop with a loss that makes logits piece by piece (Liger).
        accumulates: Gradients of earlier micro-batches are there already.
    """

    tokens: int
    rank: int
    targets: str | tuple[str, ...]
    precision: str
    quantization: str | None = None
    dora: bool = False
    dropout: float = 0.0
    checkpointing: bool = False
    fast: bool = False
    optimizer: str = "adamw_torch"
    rows: int = 1
    accumulates: bool = False
    chunked_loss: bool = False
    on_gpu: bool = False

    @property
    def compute(self) -> int:
        """Bytes of a number that a product gives under autocast."""
        return WIDTH[self.precision]

    @property
    def stream(self) -> int:
        """Bytes of a number between the layers and out of base layers: k-bit training keeps norms and embeddings in fp32."""
        return FP32 if self.quantization else self.compute

    @property
    def casts(self) -> bool:
        """Whether autocast makes 16-bit copies of what adapters read, which are fp32."""
        return self.compute < FP32

    @property
    def fused(self) -> bool:
        """Whether LoRA products are our own function; quantised layers and DoRA go by peft's."""
        return self.fast and not self.dora and not self.quantization

    @property
    def masked(self) -> bool:
        """Whether attention is given a mask: rows of unequal length are padded, unless they lie flat."""
        return self.rows > 1 and not self.fast

    @property
    def row_tokens(self) -> int:
        """Length of a row."""
        return self.tokens // max(1, self.rows)
