"""How a run goes on several devices, as tables; and what that does to memory and time, against arithmetic by hand."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from peft_studio.core.errors import SpecError
from peft_studio.core.estimators import Estimate, estimate_training_memory
from peft_studio.core.estimators.memory import CUBLAS_BYTES, RESERVED_SHARE
from peft_studio.core.estimators.parallel import Devices, Layout, choose_layout
from peft_studio.core.estimators.scaling import SLOW, USUAL, Case, gradient_bytes, share_duration, shared_s
from peft_studio.core.estimators.shares import Share
from peft_studio.core.spec import Basis, DataRef, RunSpec
from tests.unit.core.estimators.test_memory import LLAMA_8B, shapes_of

SHAPES = shapes_of(LLAMA_8B)  # 8.03 billion parameters: 16 GB in bf16
GIB = 2.0**30


def make(**fields: Any) -> RunSpec:
    """16 rows a step in micro-batches of 4, on Llama 3 8B in bf16."""
    ref = DataRef(path="rows", origin="rows", format="messages", rows=400, sha256="0" * 64)
    given = {
        "batch_size": 4, "gradient_accumulation_steps": 4, "max_length": 512, "precision": "bf16", "gradient_checkpointing": True, "epochs": 1,
        **fields,
    }  # fmt: skip
    return RunSpec.build(model="m", data=ref, basis=Basis(train_rows=400, device="cuda"), **given)


def cards(count: int, gib: float | None = 80) -> Devices:
    return Devices("cuda", count, gib * GIB if gib else None, "A100")


@pytest.mark.parametrize(
    ("fields", "devices", "wanted"),
    [
        # the model fits a card
        ({}, cards(1), (1, "single", Share(4, 4), "one device")),
        ({}, cards(2), (2, "ddp", Share(4, 2), "fits each")),
        ({}, cards(8), (8, "ddp", Share(2, 1), "fits each")),
        ({}, cards(3), (3, "ddp", Share(3, 2), "fits each")),
        ({}, cards(2, gib=None), (2, "ddp", Share(4, 2), "not known")),
        # it does not
        ({}, cards(1, gib=16), (1, "single", Share(4, 4), "one device")),
        ({}, cards(2, gib=16), (2, "fsdp", Share(4, 2), "would need")),
        ({"method": "dora"}, cards(4, gib=16), (4, "fsdp", Share(4, 1), "would need")),
        # what cannot be shared out
        ({"method": "pissa"}, cards(2, gib=16), (2, "ddp", Share(4, 2), "PiSSA")),
        ({"method": "qlora", "quantization": "nf4"}, cards(2, gib=4), (2, "ddp", Share(4, 2), "4 or 8 bits")),
        ({"method": "qlora", "quantization": "nf4"}, cards(2, gib=24), (2, "ddp", Share(4, 2), "fits each")),
        # more bring nothing
        ({"batch_size": 1, "gradient_accumulation_steps": 1}, cards(8), (1, "single", Share(1, 1), "one row")),
        ({"batch_size": 1, "gradient_accumulation_steps": 3}, cards(8), (3, "ddp", Share(1, 1), "fits each")),
        ({}, Devices("cpu", 64, 500 * GIB), (1, "single", Share(4, 4), "CPU")),
        # what a person chose stands
        ({"processes": 2}, Devices("cpu", 1, 64 * GIB), (2, "ddp", Share(4, 2), "fits each")),
        ({"processes": 1}, cards(8), (1, "single", Share(4, 4), "as the spec says")),
        ({"processes": 4}, cards(8), (4, "ddp", Share(4, 1), "fits each")),
        ({"sharding": "fsdp"}, cards(2), (2, "fsdp", Share(4, 2), "as the spec says")),
        ({"sharding": "ddp"}, cards(2, gib=16), (2, "ddp", Share(4, 2), "as the spec says")),
    ],
    ids=str,
)
def test_the_layout(fields: dict[str, Any], devices: Devices, wanted: tuple[int, str, Share, str]) -> None:
    """Processes, strategy, each one's share of a step, and the reason in words."""
    found = choose_layout(make(**fields), SHAPES, devices)

    assert (found.processes, found.strategy, found.share) == wanted[:3]
    assert wanted[3] in found.reason


@pytest.mark.parametrize(
    ("fields", "devices", "field", "word"),
    [
        ({"processes": 4}, cards(2), "processes", "2 GPUs"),
        ({"sharding": "fsdp"}, cards(1), "sharding", "there is one"),
        ({"sharding": "fsdp", "method": "qlora", "quantization": "nf4"}, cards(2), "sharding", "4 or 8 bits"),
        ({"sharding": "fsdp", "method": "pissa"}, cards(2), "sharding", "PiSSA"),
    ],
)
def test_what_cannot_be_had_is_refused(fields: dict[str, Any], devices: Devices, field: str, word: str) -> None:
    """With the field, the reason and a way on."""
    with pytest.raises(SpecError, match=word) as caught:
        choose_layout(make(**fields), SHAPES, devices)
    assert caught.value.fields == (field,)
    assert caught.value.hint


def test_a_model_of_unknown_shapes_is_tried() -> None:
    """No number is made up for it; weights that alone fill a device are shared out."""
    found = choose_layout(make(), None, cards(2))
    assert (found.strategy, found.memory) == ("ddp", None)
    heavy = make().model_copy(update={"basis": Basis(parameters=8_000_000_000)})
    assert choose_layout(heavy, None, cards(2, gib=16)).strategy == "fsdp"
    assert choose_layout(heavy, None, cards(2, gib=24)).strategy == "ddp"


def workspace(estimate: Estimate) -> float:
    """Without what the allocator reserves, which is a share of all that lives."""
    alive = (float(estimate.value) - float(estimate.parts["context"]) - CUBLAS_BYTES) / (1 + RESERVED_SHARE)
    return float(estimate.parts["workspace"]) - RESERVED_SHARE * alive


def test_memory_of_a_share_by_hand() -> None:
    """Half of the weights, and what is gathered: both ends of the model and two layers; adapter and optimizer stay whole."""
    alone = estimate_training_memory(make(gradient_accumulation_steps=2), SHAPES, device="cuda")
    shared = choose_layout(make(sharding="fsdp"), SHAPES, cards(2)).memory
    assert shared
    # 32 layers of 218,112,000 weights (q, o 4096², k, v 4096 × 1024, three of 4096 × 14336, two norms), two ends of 128256 × 4096
    weights, layer, ends = 2 * 8_030_261_248, 2 * 218_112_000, 2 * 2 * 128_256 * 4096

    assert alone.parts["weights"] == weights
    assert shared.parts["weights"] == weights / 2
    assert shared.parts["adapters"] == alone.parts["adapters"]
    assert shared.parts["optimizer"] == alone.parts["optimizer"]
    more = workspace(shared) - workspace(alone)
    assert more == pytest.approx(ends + 2 * layer + gradient_bytes(make(), SHAPES), rel=1e-3)


def test_time_by_hand() -> None:
    """Two devices, 25 steps, 41.9 million fp32 gradients; in shares 16 GB travel by halves, four times a step."""
    adapter = 4 * 41_943_040  # rank 16 on all linear layers: 32 · 16 · (8192 + 2·5120 + 8192 + 3·18432)
    assert gradient_bytes(make(), SHAPES) == adapter
    ddp, fsdp = (choose_layout(make(sharding=how), SHAPES, cards(2)) for how in ("ddp", "fsdp"))

    def seconds(layout: Layout, case: Case) -> float:
        return shared_s(1000.0, layout, case, spec=make(), shapes=SHAPES, steps=25)

    gradients, gathered = 25 * adapter, 25 * 2 * 2 * 0.5 * 2 * 8_030_261_248
    assert seconds(ddp, USUAL) == pytest.approx(550 + gradients / 16e9)
    assert seconds(ddp, SLOW) == pytest.approx(625 + gradients / 4e9)
    assert seconds(fsdp, USUAL) == pytest.approx(550 + gradients / 16e9)  # hidden behind the layers' work
    assert seconds(fsdp, SLOW) == pytest.approx(625 + (gathered + gradients) / 4e9)


def test_empty_places_cost_time() -> None:
    """16 rows over 3 devices take the time of 18."""
    layout = choose_layout(make(), SHAPES, cards(3))
    even = Case(1e30, 1.0, hidden=True)
    assert shared_s(900.0, layout, even, spec=make(), shapes=SHAPES, steps=1) == pytest.approx(900 / 3 * 18 / 16)


def test_a_duration_is_divided_where_it_can_be() -> None:
    """Loading and saving take what they took; the range is wider; what was assumed is said, and that it was not measured."""
    parts = MappingProxyType({"set-up": 60.0, "training": 1000.0, "saving": 40.0})
    one = Estimate(1100.0, 900.0, 1500.0, "s", "counted", parts)
    layout = choose_layout(make(), SHAPES, cards(2))

    two = share_duration(one, make(), SHAPES, layout)

    assert (two.parts["set-up"], two.parts["saving"]) == (60.0, 40.0)
    assert 500 < float(two.parts["training"]) < 625
    assert float(two.value) == pytest.approx(sum(map(float, two.parts.values())))
    assert float(two.high) / float(two.low) > 1500 / 900
    assert "not measured" in two.basis
    assert "1.6 to 2.0 times" in two.basis
    assert share_duration(one, make(), SHAPES, choose_layout(make(), SHAPES, cards(1))) is one
