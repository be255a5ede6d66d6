"""One run on whichever of its machines: what the card decides follows the card, all else is the run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.errors import NotReadyError
from peft_studio.core.services.fit_offers import OF_THE_CARD, fit_offers, say_differences
from peft_studio.core.spec import RunSpec
from tests.unit.core.services.test_quotes import offer
from tests.unit.core.services.test_quotes import spec as spec  # the fixture

L4, T4, V100 = offer("NVIDIA L4", "0.4"), offer("Tesla T4", "0.2", 16.0), offer("V100 SXM2 32GB", "0.3", 32.0)


def test_each_card_gets_the_precision_that_it_has(spec: Any, tmp_path: Path) -> None:
    """The L4 bf16, cards without it fp16, and the other way round; the note says so. What was chosen is the same on all."""
    fitted = fit_offers(spec, tmp_path / "home", [L4, T4, V100, L4])
    assert [one.spec.precision for one in fitted] == ["bf16", "fp16", "fp16", "bf16"]
    assert [one.spec.basis.bf16 for one in fitted] == [True, False, False, True]
    assert say_differences(fitted) == [
        "On Tesla T4 of p: precision fp16, not bf16.", "On V100 SXM2 32GB of p: precision fp16, not bf16.",
    ]  # fmt: skip
    assert [one.spec.precision for one in fit_offers(spec, tmp_path / "home", [T4, L4])] == ["fp16", "bf16"]
    chosen = fit_offers(spec.replace(precision="fp32"), tmp_path / "home", [L4, T4])
    assert [one.spec.precision for one in chosen] == ["fp32", "fp32"]
    assert say_differences(chosen) == []


def test_what_makes_the_run_is_the_same_on_all(spec: Any, tmp_path: Path) -> None:
    """A checkpoint of one goes on on the other: the optimizer, which alone would be another on a card where memory is tight, stays."""
    small = offer("NVIDIA L4", "0.4", 4.0)
    assert spec.replace(basis=spec.basis.model_copy(update={"device": "cuda", "bf16": True, "free_bytes": 3 * 2**30})).optimizer != (
        fit_offers(spec, tmp_path / "home", [L4])[0].spec.optimizer
    )  # fmt: skip
    first, second = fit_offers(spec.replace(batch_size=1, max_length=64), tmp_path / "home", [L4, small])
    differ = {name for name in RunSpec.model_fields if getattr(first.spec, name) != getattr(second.spec, name)}
    assert differ <= set(OF_THE_CARD)
    assert first.spec.optimizer == second.spec.optimizer


def test_a_base_is_shared_out_only_where_it_has_to_be(spec: Any, tmp_path: Path) -> None:
    """On four small cards; the large one after them, or before, holds all of it. Several machines are told their processes."""
    lora = spec.replace(
        method="lora", quantization=None, gradient_checkpointing=True, batch_size=1, gradient_accumulation_steps=16
    )
    small, large = offer("NVIDIA L4", "1", 2.0, gpu_count=4), offer("NVIDIA A100 80GB PCIe", "2", 80.0)
    for offers in ([small, large], [large, small]):
        found = {one.offer.id: one.spec.sharding for one in fit_offers(lora, tmp_path / "home", offers)}
        assert found == {small.id: "fsdp", large.id: "auto"}
    two = offer("NVIDIA L4", "1", gpu_count=2, machines=2)
    assert [one.spec.processes for one in fit_offers(lora, tmp_path / "home", [two, large])] == [4, None]


def test_one_that_does_not_fit_is_named_before_anything_is_rented(spec: Any, tmp_path: Path) -> None:
    """First or later."""
    for offers in ([L4, offer("Tesla T4", "0.2", 1.0)], [offer("Tesla T4", "0.2", 1.0), L4]):
        with pytest.raises(NotReadyError, match="does not fit T4 of p"):
            fit_offers(spec.replace(method="lora", quantization=None), tmp_path / "home", offers)


def test_a_card_that_is_not_known_gets_the_run_as_it_is(spec: Any, tmp_path: Path) -> None:
    """As it is on the first, or as it was written."""
    strange = offer("Fancy 9000", "1")
    first, second = fit_offers(spec, tmp_path / "home", [L4, strange])
    assert second.spec == first.spec
    alone = fit_offers(spec, tmp_path / "home", [strange])[0]
    assert (alone.spec, alone.quote) == (spec, None)
