"""What bitsandbytes' operations allocate inside themselves, as the operations they are made of.

A dispatch mode sees ``gemm_4bit`` as one operation; inside it a whole weight is unpacked, for a moment one of the largest tensors of a
step. Each function here does what bitsandbytes 0.50 does on a CPU, of operations that can be counted, on real tensors or on fake ones.
On a GPU its fused kernels unpack less (none at all below some hundred tokens): there the count is an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch


@cache
def find_insides() -> dict[Any, Callable[..., Any]]:
    """Operation → what it does; a function that answers NotImplemented leaves the operation to itself. Empty without bitsandbytes."""
    try:
        import bitsandbytes  # noqa: F401  registers the operations
    except ImportError:
        return {}
    ops = torch.ops.bitsandbytes
    return {
        ops.gemm_4bit.default: _gemm_4bit,
        ops.int8_vectorwise_quant.default: _int8_vectorwise_quant,
        ops.int8_vectorwise_dequant.default: _int8_vectorwise_dequant,
        ops.int8_mixed_scaled_mm.default: _int8_mixed_scaled_mm,
    }


def _gemm_4bit(  # noqa: PLR0913, PLR0917  the operation's own signature
    a: torch.Tensor, b: torch.Tensor, shape: Any, absmax: torch.Tensor, block: int, kind: str,
    bias: torch.Tensor | None = None, absmax_8bit: torch.Tensor | None = None, absmax_code: torch.Tensor | None = None,
    absmax_offset: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    """``a`` (…, K) times the unpacked weight (N, K), transposed: (…, N)."""
    ops = torch.ops.bitsandbytes
    if absmax_8bit is not None:
        absmax = ops.dequantize_blockwise.default(absmax_8bit, absmax, absmax_code, 256, torch.float32) + absmax_offset
    weight = ops.dequantize_4bit.default(b, absmax, block, kind, shape, a.dtype)
    return torch.nn.functional.linear(a, weight, bias)


def _int8_vectorwise_quant(a: torch.Tensor, threshold: float = 0.0) -> Any:
    """Rows of ``a`` (M, K) in int8 with a scale each. Fake tensors are taken to have no outliers, as most real ones."""
    if not isinstance(a, torch._subclasses.FakeTensor) and threshold and bool((a.abs() >= threshold).any()):
        return NotImplemented
    mask = a.abs() >= threshold
    scales = a.abs().max(dim=1).values.float()
    rows = torch.round(a * (127.0 / scales.unsqueeze(-1))).to(torch.int8)
    del mask  # which bitsandbytes holds until it returns
    return rows, scales, torch.empty(0, dtype=torch.int64, device=a.device) if threshold else None


def _int8_vectorwise_dequant(a: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    return a * scales.view(-1, 1) * (1 / 127)


def _int8_mixed_scaled_mm(
    a: torch.Tensor, ca: torch.Tensor, cb: torch.Tensor, sca: torch.Tensor, scb: torch.Tensor,
    outliers: torch.Tensor | None = None, bias: torch.Tensor | None = None,
) -> Any:  # fmt: skip
    """``ca`` (M, K) times ``cb`` (N, K), transposed, in int32, and from there to ``a``'s dtype."""
    if outliers is not None and outliers.numel():
        return NotImplemented
    none = torch.empty(0, device=a.device, dtype=a.dtype)
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        whole = torch._int_mm(ca.reshape(-1, ca.shape[-1]), cb.t())
    else:  # int8 is multiplied as fp32 then
        whole = torch.matmul(ca.float(), cb.float().t()).to(torch.int32)
    out = whole * (sca.reshape(-1).unsqueeze(-1) * scb.reshape(-1).unsqueeze(0)) * 6.200124e-05
    if bias is not None:
        out += bias
    return out.to(a.dtype), none
