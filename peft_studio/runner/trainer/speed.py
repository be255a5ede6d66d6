"""How fast this machine trains: a few seconds of the very modules that will train, in small.

    python -m peft_studio.runner measure-speed --home HOME

One JSON line, ``{"speed": …}``: the fields of ``core.compute.DeviceSpeed``. Every time is the least of several, because whatever
disturbs a measurement makes it longer. What is fitted is

    seconds of a micro-batch = fixed + layers · layer + weights · weight + FLOPs · s_per_flop + bytes · s_per_byte

for each precision and loop, over micro-batches of few and many tokens through narrow and wide layers. Products, attention, the loss and
dropout are timed by themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import psutil
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from peft_studio.core.estimators.flops import BACKWARD_OF_ATTENTION, Tokens, active_parameters, count_flops
from peft_studio.core.estimators.work import layer_traffic
from peft_studio.core.models.shapes import ModelShapes, build_model_shapes
from peft_studio.core.system import cpu_has_bf16
from peft_studio.runner.trainer import fast
from peft_studio.runner.trainer.fast import FlatCollator
from peft_studio.runner.trainer.fast.loss import LinearCrossEntropy
from peft_studio.runner.trainer.load import DTYPES
from peft_studio.runner.trainer.rows import PadJoin
from peft_studio.runner.trainer.timing import fit_seconds, time_least

SIZES = ((1, 192, 64), (4, 192, 64), (2, 192, 512), (2, 768, 64), (2, 768, 512))  # layers, hidden, tokens
DROPPED = SIZES[2]
ROW, ATTENDED = 64, 96  # tokens of a row
RANK = 16
HEAD = (128, 768, 16384)  # positions, hidden, vocabulary
SMALL_LAYER, LARGE_LAYER = (256, 576, 1536), (512, 2048, 8192)  # tokens, inputs, outputs
WRITTEN = 16 << 20  # bytes


def measure_speed_main(argv: list[str]) -> int:
    """``measure-speed``: see the module. Returns 0."""
    imports_s = time.time() - psutil.Process().create_time()
    parser = argparse.ArgumentParser(prog="measure-speed")
    parser.add_argument("--home", type=Path, required=True)
    home = parser.parse_args(argv).home
    out, sys.stdout = sys.stdout, sys.stderr
    found = {**measure_speed(), "imports_s": imports_s, "disk_bytes_per_s": _write_rate(home)}
    used = psutil.Process().cpu_times()
    print(json.dumps({"speed": {**found, "cpu_s": used.user + used.system}}), file=out, flush=True)
    return 0


def measure_speed() -> dict[str, Any]:
    """All that is measured, on the CPU."""
    torch.manual_seed(0)
    precisions = ["fp32", *(["bf16"] if cpu_has_bf16() else [])]
    matmul = {one: [_matmul(one, *shape) for shape in (SMALL_LAYER, LARGE_LAYER)] for one in precisions}
    loops = [
        {"precision": precision, "loop": loop, **_measure_loop(precision, loop, 1 / matmul[precision][0])}
        for precision in precisions
        for loop in ("fast", "reference")
    ]
    return {
        "loops": loops,
        "matmul": matmul,
        "memory_bytes_per_s": _copy_rate(),
        "unpack_s": _unpacking(),
    }  # fmt: skip


def _measure_loop(precision: str, loop: str, per_flop: float) -> dict[str, float]:
    """The coefficients of the layers, and seconds a logit for the head."""
    attention_s = _measure_attention(precision, loop)
    rows, times = [], []
    for layers, hidden, tokens in SIZES:
        shapes, step = _build_step(precision, loop, (layers, hidden, tokens))
        seconds = time_least(step)
        counted = count_flops(shapes, Tokens(tokens, ROW, tokens, loop == "fast"), rank=RANK, targets="all-linear")
        apart = counted.pop("attention") * attention_s + sum(counted.values()) * per_flop
        traffic = layers * tokens * layer_traffic(shapes, rank=RANK, targets="all-linear", precision=precision)
        rows.append((1.0, layers, active_parameters(shapes), traffic))
        # Products are measured apart: with all four free, noise would move seconds from one to another.
        times.append(max(0.1 * seconds, seconds - apart))
    fixed, layer, per_weight, per_byte = fit_seconds(numpy.array(rows), numpy.array(times))
    return {
        "fixed_s": fixed, "layer_s": layer, "weight_s": per_weight, "s_per_flop": per_flop, "s_per_byte": per_byte, "attention_s": attention_s,
        "logit_s": _measure_head(precision, loop, per_flop), "dropout_s": _measure_dropout(precision, loop),
    }  # fmt: skip


def _measure_attention(precision: str, loop: str) -> float:
    """Seconds an operation of attention takes, forward and backward, in rows of usual length: far more than one of a product."""
    q, k, v = (torch.randn(1, 6, ATTENDED, 64).to(DTYPES[precision]).requires_grad_() for _ in range(3))
    causal = loop == "fast"
    mask = None if causal else torch.ones(1, 1, ATTENDED, ATTENDED, dtype=torch.bool).tril()
    gradient = torch.ones(q.shape, dtype=q.dtype)

    def attend() -> None:
        nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal).backward(gradient)

    forward = (2.0 if causal else 4.0) * ATTENDED * ATTENDED * 6 * 64
    return time_least(attend) / ((1 + BACKWARD_OF_ATTENTION) * forward)


def _measure_dropout(precision: str, loop: str) -> float:
    """Seconds that dropout adds for each number that goes into an adapter."""
    shapes, step = _build_step(precision, loop, DROPPED)
    _, noisy = _build_step(precision, loop, DROPPED, dropout=0.05)
    dropped = DROPPED[0] * DROPPED[2] * sum(one.inputs for one in shapes.targets("all-linear"))
    return max(0.0, time_least(noisy) - time_least(step)) / dropped


def _build_step(
    precision: str, loop: str, size: tuple[int, int, int], *, dropout: float = 0.0
) -> tuple[ModelShapes, Callable[[], Any]]:
    """A function that goes forward and backward once through layers with LoRA, and the shapes it has."""
    layers, hidden, tokens = size
    config = LlamaConfig(
        hidden_size=hidden, intermediate_size=hidden * 8 // 3, num_hidden_layers=layers, num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64, vocab_size=64, max_position_embeddings=ROW, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    model = get_peft_model(
        LlamaForCausalLM(config).to(DTYPES[precision]),
        LoraConfig(r=RANK, lora_dropout=dropout, target_modules="all-linear", init_lora_weights=False),
    )
    model.train()
    rows = [
        {"input_ids": [2 + (n * 7 + at) % 60 for at in range(ROW)], "labels": [5] * ROW} for n in range(tokens // ROW)
    ]
    if loop == "fast":
        fast.install(model)
        batch = FlatCollator()(rows)
    else:
        batch = PadJoin(1)(rows)
    shapes = build_model_shapes(config.to_dict())
    assert shapes
    return shapes, lambda: _go(model, batch, precision)


def _go(model: Any, batch: dict[str, Any], precision: str) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = model(**batch).loss
    loss.backward()


def _measure_head(precision: str, loop: str, per_flop: float) -> float:
    """Seconds a logit takes beyond its product: softmax, loss and their gradients."""
    positions, hidden, vocabulary = HEAD
    weight = torch.randn(vocabulary, hidden).to(DTYPES[precision])
    states = torch.randn(positions, hidden).to(DTYPES[precision]).requires_grad_()
    targets = torch.randint(vocabulary, (positions,))

    def quick() -> None:
        LinearCrossEntropy.apply(states, weight, targets, float(positions)).backward()

    def plain() -> None:
        logits = nn.functional.linear(states, weight).float()
        nn.functional.cross_entropy(logits, targets, reduction="sum").backward()

    seconds = time_least(quick if loop == "fast" else plain)
    return max(0.0, seconds - 4.0 * positions * hidden * vocabulary * per_flop) / (positions * vocabulary)


def _matmul(precision: str, tokens: int, inputs: int, outputs: int) -> float:
    """Operations a second of one product."""
    x, weight = (torch.randn(*size).to(DTYPES[precision]) for size in ((tokens, inputs), (outputs, inputs)))
    return 2.0 * tokens * inputs * outputs / time_least(lambda: torch.mm(x, weight.t()))


def _copy_rate() -> float:
    """Bytes a second, read and written, beyond any cache."""
    source = torch.ones(32 << 20)
    target = torch.empty_like(source)
    return 2 * source.nbytes / time_least(lambda: target.copy_(source))


def _write_rate(home: Path) -> float:
    """Bytes a second that reach the disk of the home, the waiting for it included."""
    with tempfile.TemporaryFile(dir=home) as file:
        began = time.perf_counter()
        file.write(bytes(WRITTEN))
        file.flush()
        os.fsync(file.fileno())
        return WRITTEN / (time.perf_counter() - began)


def _unpacking() -> dict[str, float]:
    """Seconds a quantised weight takes beyond an ordinary one's product, each time a micro-batch goes through it."""
    try:
        import bitsandbytes as bnb
    except ImportError:
        return {}
    size, tokens = 768, 64
    plain = nn.Linear(size, size, bias=False).requires_grad_(False)
    makes = {
        "nf4": lambda: bnb.nn.Linear4bit(size, size, bias=False, quant_type="nf4", compute_dtype=torch.float32),
        "int8": lambda: bnb.nn.Linear8bitLt(size, size, bias=False, has_fp16_weights=False),
    }
    x = torch.randn(tokens, size, requires_grad=True)
    usual = time_least(lambda: plain(x).sum().backward())
    found = {}
    for name, make in makes.items():
        layer = make()
        layer.load_state_dict(plain.state_dict(), strict=False)
        layer.requires_grad_(False)
        layer = layer.to("cpu")
        # forward and backward are two passes
        found[name] = max(0.0, time_least(lambda layer=layer: layer(x).sum().backward()) - usual) / 2 / size**2  # type: ignore[misc]
    return found
