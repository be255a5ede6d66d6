"""Whether a model can be trained on a machine: by the estimators, the method that costs least first, and "unknown" where nothing is known."""

from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.errors import SpecError
from peft_studio.core.ports import RegistryModel
from peft_studio.core.services.model_fit import (
    WEIGHTS_ALONE,
    Machine,
    find_machine,
    find_reason,
    fit_by_count,
    fit_methods,
    fit_model,
)

GIB = 2**30
MODEL = RegistryModel(id="org/model", registry="huggingface", parameters=8_030_000_000)
LLAMA_8B: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "vocab_size": 128256,
}  # fmt: skip


def machine(free_gib: float, kind: str = "cuda") -> Machine:
    return Machine(kind, "a device", True, int(free_gib * GIB))


@pytest.mark.parametrize(
    ("gib", "fit", "way"),
    [(80, "ok", "LoRA"), (24, "ok", "LoRA with micro-batches of 1"), (16, "ok", "QLoRA with micro-batches of 1"), (12, "tight", "QLoRA with micro-batches of 1"), (5, "wont-fit", "QLoRA with micro-batches of 1")],
)  # fmt: skip
def test_the_way_that_costs_least_is_taken(gib: float, fit: str, way: str) -> None:
    """An 8B model of 16 GB: plainly on 80 GiB, in small micro-batches on 24, as QLoRA on 16, not on 5."""
    found = fit_model(MODEL, LLAMA_8B, machine(gib))

    assert (found.fit, found.way, str(found)) == (fit, way, f"{fit} ({way})")
    assert f"of {gib:.1f} GiB" in found.sentence
    assert "1,024 tokens" in found.sentence
    assert [one.method for one in found.methods] == ["lora", "qlora"]
    assert all(one.needs.low <= one.needs.value <= one.needs.high for one in found.methods)


def test_what_is_given_up_changes_no_result() -> None:
    """Neither rows nor method: only micro-batches and checkpointing, whose costs are said."""
    for gib in (6, 8, 12, 16, 24, 40, 80):
        for one in fit_methods(LLAMA_8B, machine(gib)):
            assert "rows of 1,024 tokens" in one.basis
            assert one.way.startswith(one.title)
            assert bool(one.costs) == (one.way != one.title)
    tight = fit_methods({**LLAMA_8B, "num_hidden_layers": 8}, machine(5))[1]
    assert tight.way == "QLoRA with micro-batches of 1 and gradient checkpointing" or "micro-batches" in tight.way


@pytest.mark.parametrize(
    "config",
    [None, {}, {"model_type": "llama"}, {"hidden_size": "wide"}, {"model_type": "nobody-knows", "hidden_size": 8}],
)
def test_without_shapes_the_weights_alone_tell(config: dict[str, Any] | None) -> None:
    """By the count of parameters; where there is none either, nothing is guessed from a name."""
    found = fit_model(MODEL, config, machine(80))
    assert (found.fit, found.way, found.methods) == ("ok", WEIGHTS_ALONE, ())
    nothing = fit_model(MODEL.model_copy(update={"parameters": None}), config, machine(80))
    assert (str(nothing), nothing.methods) == ("unknown", ())
    assert fit_model(MODEL, LLAMA_8B, Machine("cuda", "shy", True, None)).fit == "unknown"


@pytest.mark.parametrize(
    ("parameters", "free_gib", "fit"),
    [(135_000_000, 8, "ok"), (7_000_000_000, 24, "tight"), (7_000_000_000, 3, "wont-fit"), (None, 24, "unknown")],
)
def test_a_count_alone_tells_what_is_sure(parameters: int | None, free_gib: float, fit: str) -> None:
    """By the weights: in 4 bits without room, more than half of what is free, less than half."""
    found = fit_by_count(parameters, machine(free_gib))

    assert (found.fit, found.methods) == (fit, ())
    assert found.sentence


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"registry": "ollama"}, "Only models of Hugging Face"), ({"format": "gguf"}, "GGUF"), ({"task": "text-to-image"}, "text-to-image")],
)  # fmt: skip
def test_what_cannot_be_trained_says_why(changes: dict[str, str], said: str) -> None:
    """On any machine, whatever its shapes."""
    model = MODEL.model_copy(update=changes)

    assert said in find_reason(model)
    assert fit_model(model, LLAMA_8B, machine(80)).fit == "unknown"
    assert fit_model(model, LLAMA_8B, machine(80)).sentence == find_reason(model)
    assert find_reason(MODEL) == ""


def test_places_are_this_machine_and_cards() -> None:
    """A card has all of its memory, and bfloat16 where the table says so; a name that is none is said."""
    here, card, old = find_machine(), find_machine("RTX 4090"), find_machine("T4")

    assert here.here
    assert here.free_bytes
    assert (card.name, card.free_bytes, card.precision, card.here) == ("RTX 4090", 24 * GIB, "bf16", False)
    assert old.precision == "fp16"
    assert find_machine("A100").name == "A100"
    with pytest.raises(SpecError, match="no compute 'H1OO'"):
        find_machine("H1OO")


@pytest.mark.parametrize("value", [0, -1, 3, 10**30, "x", None, [], {}, 1.5, float("nan"), float("inf"), True], ids=str)
def test_a_hostile_config_gives_a_verdict(value: Any) -> None:
    """Whatever stands in one of its fields; it never raises anything."""
    for name in (*LLAMA_8B, "max_position_embeddings"):
        assert fit_model(MODEL, {**LLAMA_8B, name: value}, machine(8)).fit in ("ok", "tight", "wont-fit")
