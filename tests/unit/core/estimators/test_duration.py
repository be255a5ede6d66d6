"""Seconds follow the work, every part of it is there, and nothing that is more work takes less time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from peft_studio.core.compute import DeviceSpeed, Products, find_gpu, gpu_speed
from peft_studio.core.estimators import Estimate, build_row_mix, estimate_duration
from peft_studio.core.estimators.duration import predict_each
from peft_studio.core.estimators.flops import Tokens, active_parameters, count_flops
from peft_studio.core.estimators.work import count_work
from peft_studio.core.models.shapes import ModelShapes, build_model_shapes
from peft_studio.core.spec import Basis, DataRef, RunSpec

LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256,
}  # fmt: skip
MIXTRAL = {**LLAMA_8B, "model_type": "mixtral", "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2}
SMALL = {
    **LLAMA_8B,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "vocab_size": 16384,
}
PRODUCTS = tuple(
    Products(p, loop, 1e-3, 4e-3, 1e-10, 1e-11, 1e-10, 5e-11, 1e-8, 1e-9)
    for p in ("fp32", "bf16")
    for loop in ("fast", "reference")
)
SPEED = DeviceSpeed("a CPU", "a test", PRODUCTS, 20e9, 5.0, 500e6)
LENGTHS = tuple(float(length) for length in range(40, 200, 10))


def shapes_of(config: dict[str, Any]) -> ModelShapes:
    found = build_model_shapes(config)
    assert found is not None
    return found


def spec_of(**fields: Any) -> RunSpec:
    ref = DataRef(path="rows", origin="rows", format="messages", rows=400, sha256="0" * 64)
    basis = Basis(train_rows=400, eval_rows=20, row_tokens=LENGTHS)
    given = {"batch_size": 4, "gradient_accumulation_steps": 2, "max_length": 256, "epochs": 2, **fields}
    return RunSpec.build(model="m", data=ref, basis=basis, **given)


def quote(
    config: dict[str, Any] = SMALL,
    *,
    fast: bool = True,
    speed: DeviceSpeed = SPEED,
    download: float = 0.0,
    **fields: Any,
) -> Estimate:
    spec = spec_of(**fields)
    mix = build_row_mix(LENGTHS, max_length=spec.max_length, batch_size=spec.batch_size, learnt_share=0.4)
    return estimate_duration(
        spec, shapes_of(config), mix, speed=speed, fast=fast, train_rows=400, eval_rows=20, download_bytes=download
    )


def test_a_published_figure() -> None:
    """Llama-3.1-8B at 4096 tokens, rank 16: 34.0 GFLOP a token, 49.1 with full recompute (performance notes, 1.2)."""
    shapes, row = shapes_of(LLAMA_8B), Tokens(1, 4096, 1)

    plain, again = (
        sum(count_flops(shapes, row, rank=16, targets="all-linear", recompute=recompute).values()) / 1e9
        for recompute in (False, True)
    )

    assert plain == pytest.approx(34.0, rel=0.01)
    # what is computed again has the adapters too, the head not; the note has 2N' of everything but the embedding
    assert again == pytest.approx(49.1, rel=0.03)


def test_only_active_experts_count() -> None:
    """Mixtral 8x7B multiplies a token with 12.9 B of its 46.7 B parameters, embedding and head (0.26 B) included."""
    assert (active_parameters(shapes_of(MIXTRAL)) + 2 * 32000 * 4096) / 1e9 == pytest.approx(12.9, rel=0.01)


def test_parts_add_up_and_all_are_there() -> None:
    """Set-up, download, training, evaluation, samples, saving: the value is their sum and within the range."""
    found = quote(download=1e9, sample_prompts=("a",), sample_steps=50)

    assert list(found.parts) == ["set-up", "download", "training", "evaluation", "samples", "saving"]
    assert sum(map(float, found.parts.values())) == pytest.approx(float(found.value))
    assert found.low < found.value < found.high
    assert "rows of 115 tokens" in found.basis


@pytest.mark.parametrize(
    ("less", "more"),
    [({"epochs": 1}, {"epochs": 3}), ({"max_length": 64}, {"max_length": 256}), ({"rank": 4}, {"rank": 256}), ({"save_steps": 50}, {"save_steps": 5}),
     ({"eval_steps": None}, {"eval_steps": 10}), ({"gradient_checkpointing": False}, {"gradient_checkpointing": True}), ({}, {"method": "dora"}),
     ({}, {"quantization": "nf4"}), ({"batch_size": 8}, {"batch_size": 1}), ({"max_steps": 20}, {"max_steps": 21})],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("fast", [True, False])
def test_more_work_takes_longer(less: dict[str, Any], more: dict[str, Any], fast: bool) -> None:
    """Monotone in epochs, length, rank, checkpoints, evaluations, recompute; small micro-batches cost their overhead."""
    if not fast and "batch_size" in less:
        pytest.skip("in the padding loop a bigger micro-batch pads more")
    assert float(quote(fast=fast, **less).value) < float(quote(fast=fast, **more).value)


def test_padding_counts_where_it_is_computed() -> None:
    """The reference loop computes the widest row of a micro-batch for all, and every position's logits."""
    spec = spec_of()
    mix = build_row_mix(LENGTHS, max_length=256, batch_size=4, learnt_share=0.4)

    flat, padded = (count_work(spec, mix, fast=fast, train_rows=400, eval_rows=20).tokens for fast in (True, False))

    assert flat.computed == pytest.approx(800 * mix.mean)
    assert flat.at_head == pytest.approx(800 * mix.mean * 0.4)
    assert padded.computed == padded.at_head == pytest.approx(800 * mix.widest)


def test_a_shared_beginning_is_computed_once_a_micro_batch() -> None:
    """Unless dropout draws its own noise for every row."""
    mix = build_row_mix(LENGTHS, max_length=256, batch_size=4, shared=30)

    once, each = (
        count_work(spec_of(dropout=p), mix, fast=True, train_rows=400, eval_rows=0).tokens.computed for p in (0.0, 0.1)
    )

    assert each - once == pytest.approx(800 * 30 * 3 / 4)


@pytest.mark.parametrize(
    ("fields", "steps", "checkpoints", "evaluations"),
    [({"save_steps": 50}, 100, 2, 1), ({"save_steps": 40, "eval_steps": 25}, 100, 3, 4), ({"max_steps": 7, "save_steps": 7}, 7, 1, 1),
     ({"processes": 2, "save_steps": 10}, 100, 10, 1)],
    ids=str,
)  # fmt: skip
def test_counts_are_those_of_the_trainer(
    fields: dict[str, Any], steps: int, checkpoints: int, evaluations: int
) -> None:
    """Steps as Trainer counts them; a checkpoint every save_steps and at the end; an evaluation at the end and between."""
    mix = build_row_mix(LENGTHS, max_length=256, batch_size=4)

    work = count_work(spec_of(**fields), mix, fast=True, train_rows=400, eval_rows=20)

    assert (work.steps, work.checkpoints, work.evaluations) == (steps, checkpoints, evaluations)


def test_packing_fills_micro_batches() -> None:
    """Fewer, fuller micro-batches over the same tokens."""
    mix = build_row_mix(LENGTHS, max_length=256, batch_size=1)

    packed, plain = (count_work(spec_of(packing=p), mix, fast=True, train_rows=400, eval_rows=0) for p in (True, False))

    assert packed.micro_batches < plain.micro_batches / 1.5
    assert packed.tokens.computed == pytest.approx(plain.tokens.computed, rel=0.05)


def test_an_unknown_architecture_widens_the_range() -> None:
    """What is guessed says so."""
    strange = {**SMALL, "model_type": "marvel"}

    assert float(quote(strange).high) / float(quote(strange).value) > float(quote().high) / float(quote().value)
    assert "marvel is not known" in quote(strange).basis


QWEN_7B = {**LLAMA_8B, "intermediate_size": 11008, "num_key_value_heads": 32, "vocab_size": 151936}
LLAMA_3B = {
    **LLAMA_8B, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24, "head_dim": 128,
}  # fmt: skip
SMOLLM = {
    "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152,
}  # fmt: skip
RANK_8 = {"rank": 8, "dropout": 0.0}
Q_V = {"rank": 32, "target_modules": ("q_proj", "v_proj")}


@pytest.mark.parametrize(
    ("config", "card", "row", "batch", "fields", "tokens_per_s"),
    [(QWEN_7B, "A100-80GB", 2048, 1, {}, 3_151), (LLAMA_3B, "L40S", 512, 4, Q_V, 7_198), (SMOLLM, "H100", 1016, 8, RANK_8, 36_000)],
    ids=["Qwen README", "peft method comparison", "ours, bound by its processor"],
)  # fmt: skip
def test_runs_that_were_seen_lie_in_the_range(
    config: dict[str, Any], card: str, row: int, batch: int, fields: dict[str, Any], tokens_per_s: float
) -> None:
    """What Trainer and peft were seen to do on rented cards is between the low and the high end for that card."""
    gpu = find_gpu(card)
    assert gpu is not None
    spec = spec_of(
        precision="bf16", max_length=row, batch_size=batch, gradient_accumulation_steps=1, max_steps=100, **fields
    )
    mix = build_row_mix([float(row)], max_length=row, batch_size=batch)

    found = estimate_duration(spec, shapes_of(config), mix, speed=gpu_speed(gpu), fast=False, train_rows=batch * 100)

    expected_s, seen_s = float(found.parts["training"]), 100 * batch * row / tokens_per_s
    spread = gpu_speed(gpu).spread
    assert expected_s * spread.low < seen_s < expected_s * spread.high
    assert seen_s == pytest.approx(expected_s, rel=0.35)
    assert "data sheet" in found.basis


def test_a_small_model_waits_for_the_processor_that_launches_its_work() -> None:
    """By hand: 30 layers of 2.3 ms and seven adapters of 0.62 ms, whatever the batch; seven quantised weights more. A large batch outlasts that."""
    gpu = find_gpu("H100")
    assert gpu is not None
    more = {
        "speed": gpu_speed(gpu),
        "fast": False,
        "precision": "bf16",
        "gradient_accumulation_steps": 1,
        "max_steps": 100,
    }

    def step_s(config: dict[str, Any] = SMOLLM, **fields: Any) -> float:
        found = quote(config, **more, **fields)
        adapters = 2 * 30 * len(shapes_of(SMOLLM).targets("all-linear"))
        return float(found.parts["training"]) / 100 - 4e-3 - adapters * 25e-6

    one = 30 * (2.3e-3 + 7 * 0.62e-3)
    assert step_s(batch_size=1) == pytest.approx(one, rel=0.02)
    assert step_s(batch_size=4) == pytest.approx(one, rel=0.02)
    assert step_s(batch_size=4, quantization="nf4", method="qlora") == pytest.approx(one + 30 * 7 * 0.8e-3, rel=0.02)
    assert step_s(LLAMA_8B, batch_size=64) > 2 * step_s(LLAMA_8B, batch_size=16)


def test_each_is_what_the_whole_is_made_of() -> None:
    """One checkpoint, one evaluation and the saving at the end, times their numbers, are the parts."""
    spec = spec_of(eval_steps=25, save_steps=40)
    found = quote(eval_steps=25, save_steps=40)

    each = predict_each(spec, found, eval_rows=20)

    assert each["evaluation"] * 4 == pytest.approx(float(found.parts["evaluation"]))
    assert each["checkpoint"] * 3 + each["export"] == pytest.approx(float(found.parts["saving"]))
    assert not isinstance(found.value, Decimal)


def test_the_probe_is_part_of_the_set_up() -> None:
    """Two micro-batches of the longest rows; none for a run so short that it meets them at once."""
    with_it, without = quote(probe=True), quote(probe=False)
    assert with_it.parts["training"] == without.parts["training"]
    more = with_it.parts["set-up"] - without.parts["set-up"]
    micro_batch = with_it.parts["training"] / (2 * 400 / 4)
    assert 2 * micro_batch < more < 2 * micro_batch * max(LENGTHS) / min(LENGTHS)
    short = {"max_steps": 5}
    assert quote(**short).parts["set-up"] == quote(**short, probe=False).parts["set-up"]
