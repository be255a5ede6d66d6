"""The fit ladder: it goes down in need and never up, keeps what must stay, and offers instead of taking what a person has set."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.defaults.fit_ladder import Ladder, climb
from peft_studio.core.estimators import Estimate, estimate_training_memory
from peft_studio.core.models.shapes import build_model_shapes
from peft_studio.core.spec import METHODS, Basis
from tests.unit.core.defaults.test_derive import derive

LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256,
}  # fmt: skip
SHAPES = build_model_shapes(LLAMA_8B)
MEMORIES = [gib << 30 for gib in (2, 4, 8, 12, 16, 24, 32, 40, 48, 80, 200)]


def needs(spec: ExplainedSpec) -> Estimate:
    """What an 8B Llama needs on a GPU."""
    assert SHAPES is not None
    return estimate_training_memory(spec, SHAPES, device="cuda")


def build(longest: int = 3000, p95: int = 700, **fields: Any) -> ExplainedSpec:
    basis = Basis(
        parameters=8_030_000_000, family="llama", train_rows=4000, p95_tokens=p95, max_tokens=longest, device="cuda",
        bf16=True, conversational=True,
    )  # fmt: skip
    return derive(basis, **fields)


SPECS = [
    build(longest, p95, method=method, **fields)
    for method, (longest, p95), fields in product(
        METHODS,
        ((3000, 700), (200, 60), (2048, 2040)),
        ({}, {"batch_size": 6}, {"max_length": 1024, "gradient_accumulation_steps": 5}, {"rank": 64, "packing": True},
         {"gradient_checkpointing": True}),
    )
]  # fmt: skip


def ladders(spec: ExplainedSpec) -> list[Ladder]:
    return [climb(spec, free_bytes=free, needs=needs, share_longer=lambda tokens: 40 / tokens) for free in MEMORIES]


def test_it_never_goes_up() -> None:
    """From each rung to the next both the most likely and the high end fall, among those taken and among those offered."""
    for spec in SPECS:
        for ladder in ladders(spec)[:1]:
            own = [rung for rung in ladder.rungs if not rung.chosen]
            for before, after in pairwise(own):
                assert after.needs.value < before.needs.value
                assert after.needs.high < before.needs.high
            for rung in ladder.rungs[1:]:
                assert rung.needs.value < ladder.asked.needs.value


def test_what_must_stay_stays() -> None:
    """The effective batch, the epochs and the promise that rank is not raised; the changes alone make the rung's spec."""
    for spec in SPECS:
        for rung in climb(spec, free_bytes=1, needs=needs, share_longer=lambda tokens: 0.5).rungs:
            assert rung.spec.effective_batch == spec.effective_batch
            assert rung.spec.epochs == spec.epochs
            assert rung.spec.rank <= spec.rank
            assert spec.replace(**rung.changes) == rung.spec
            assert bool(rung.costs) == bool(rung.changes)


def test_more_memory_never_fits_less() -> None:
    """With more of it no rung is judged worse, and the first that fits comes no later."""
    order = ("ok", "tight", "wont-fit")
    for spec in SPECS:
        found = ladders(spec)
        for less, more in pairwise(found):
            for before, after in zip(less.rungs, more.rungs, strict=True):
                assert order.index(after.fit) <= order.index(before.fit)
            if less.first is not None:
                assert more.first is not None
                assert more.rungs.index(more.first) <= less.rungs.index(less.first)


def test_what_a_person_set_is_offered_not_taken() -> None:
    """Rungs that change it name it and stand behind all others."""
    spec = build(method="lora", batch_size=8)
    ladder = climb(spec, free_bytes=1, needs=needs)
    own = [rung for rung in ladder.rungs if not rung.chosen]
    assert {(rung.spec.method, rung.spec.batch_size) for rung in own} == {("lora", 8)}
    assert list(ladder.rungs[: len(own)]) == own
    offered = ladder.rungs[len(own) :]
    assert offered[0].title.startswith("QLoRA")
    assert offered[0].chosen == ("method",)
    assert offered[-1].chosen == ("batch_size", "method")


def test_the_order_and_what_each_costs() -> None:
    """QLoRA before shorter rows, before smaller micro-batches, before checkpointing, before rows that the data need are cut."""
    spec = build(p95=700)
    spec = spec.replace(basis=spec.basis.model_copy(update={"parameters": 900_000_000}))

    def plain(spec: ExplainedSpec) -> Estimate:
        weights = 4e9 if spec.quantization else 16e9
        size = weights + spec.batch_size * spec.max_length * (1e5 if spec.gradient_checkpointing else 1e6)
        return Estimate(size, size, size, "bytes", "a table")

    ladder = climb(spec, free_bytes=1, needs=plain, share_longer=lambda tokens: 0.031)
    kinds = [sorted(set(after.changes) - set(before.changes)) for before, after in pairwise(ladder.rungs)]
    assert kinds[0] == ["dropout", "method", "quantization"]
    assert kinds[1][-1] == "max_length"
    assert [rung.spec.max_length for rung in ladder.rungs[:3]] == [2048, 2048, 704]
    at = [rung.title for rung in ladder.rungs].index("Gradient checkpointing")
    assert ladder.rungs[at - 1].spec.batch_size == 1
    assert ladder.rungs[at + 1].spec.max_length < 704
    assert "3.1%" in ladder.rungs[2].costs


def test_rows_that_the_data_need_are_not_cut_blindly() -> None:
    """Without the lengths nothing goes below the 95th percentile; where that is unknown nothing is shortened."""
    spec = build(p95=700)
    assert min(rung.spec.max_length for rung in climb(spec, free_bytes=1, needs=needs).rungs) == 704
    unknown = spec.replace(basis=spec.basis.model_copy(update={"p95_tokens": None}))
    assert {rung.spec.max_length for rung in climb(unknown, free_bytes=1, needs=needs).rungs} == {2048}


def test_an_estimate_that_does_not_fall_is_no_rung() -> None:
    """Quantising a model whose estimate says that it would need more is not proposed."""

    def odd(spec: ExplainedSpec) -> Estimate:
        size = 9e9 if spec.quantization else 5e9
        return Estimate(size, size, size, "bytes", "a table")

    assert len(climb(build(), free_bytes=1, needs=odd).rungs) == 1


def test_the_gpu_that_would_do() -> None:
    """The smallest usual size that holds the spec as asked, none when one card is not enough."""
    ladder = climb(build(), free_bytes=1, needs=needs)
    assert ladder.gpu_gib is not None
    assert ladder.asked.needs.high <= ladder.gpu_gib * 0.95 * 2**30
    huge = climb(build(), free_bytes=1, needs=lambda spec: Estimate(1e12, 1e12, 1e12, "bytes", "a table"))
    assert huge.gpu_gib is None
    assert "931.3 GiB" in repr(huge)


def test_a_quantised_base_is_tried_again_after_checkpointing() -> None:
    """Where it needs more without checkpointing and less with it, it is still found."""
    spec = build(p95=700, gradient_checkpointing=False).without("gradient_checkpointing")
    spec = spec.replace(basis=spec.basis.model_copy(update={"parameters": 900_000_000}))
    first = climb(spec, free_bytes=16 << 30, needs=needs).first
    assert first is not None
    assert (first.spec.method, first.spec.gradient_checkpointing) == ("qlora", True)
