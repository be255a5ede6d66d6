"""Whether a model fits, before any of it is here."""

from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.services.machine_fit import Machine, find_gpu_gib, find_way, fit_by_config, fit_by_count

GIB = 2**30
CONFIG: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24,
    "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 49152, "tie_word_embeddings": True, "max_position_embeddings": 8192,
}  # fmt: skip


def machine(free_gib: float, kind: str = "cuda") -> Machine:
    return Machine(kind, "a device", True, int(free_gib * GIB))


@pytest.mark.parametrize(
    ("parameters", "free_gib", "fit"),
    [(135_000_000, 8, "ok"), (7_000_000_000, 24, "tight"), (7_000_000_000, 3, "wont-fit"), (None, 24, "unknown")],
)
def test_a_count_alone_tells_what_is_sure(parameters: int | None, free_gib: float, fit: str) -> None:
    """By the weights: in 4 bits without room, more than half of what is free, less than half."""
    found = fit_by_count(parameters, machine(free_gib))

    assert (found.fit, found.needs) == (fit, None)
    assert found.basis


def test_a_config_gives_the_estimate_of_the_default_spec() -> None:
    """The default falls to QLoRA where the weights do not fit; what fits on a large device does not on a small one."""
    large, small = fit_by_config(CONFIG, machine(80)), fit_by_config(CONFIG, machine(3))
    assert large is not None
    assert small is not None

    assert (large.fit, large.method) == ("ok", "lora")
    assert (small.fit, small.method) == ("wont-fit", "qlora")
    assert large.needs is not None
    assert large.needs.value > 2 * 1_711_000_000  # its weights in bf16, at the least
    assert large.basis == "LoRA at rank 16, 4 rows of 1,024 tokens at once"


def test_the_smallest_gpu_is_named() -> None:
    """QLoRA needs no larger one than LoRA."""
    lora, qlora = find_gpu_gib(CONFIG, method="lora"), find_gpu_gib(CONFIG, method="qlora")

    assert lora in {12, 16}
    assert qlora is not None
    assert lora is not None
    assert qlora <= lora
    assert find_gpu_gib({**CONFIG, "hidden_size": 32768, "num_hidden_layers": 200}) is None


def test_what_would_make_it_fit_is_found_where_something_does() -> None:
    """The first rung of the fit ladder; nothing where it fits as it is, or where nothing helps."""
    asked, way = fit_by_config(CONFIG, machine(8)), find_way(CONFIG, machine(8))

    assert asked is not None
    assert asked.fit != "ok"
    assert way is not None
    assert way.needs is not None
    assert asked.needs is not None
    assert way.fit in ("ok", "tight")
    assert way.needs.value < asked.needs.value
    assert "=" in way.basis
    assert find_way(CONFIG, machine(80)) is None
    assert find_way(CONFIG, machine(1)) is None


@pytest.mark.parametrize("value", [0, -1, 3, 10**30, "x", None, [], {}, 1.5, float("nan"), float("inf"), True], ids=str)
def test_a_hostile_config_gives_an_estimate_or_none(value: Any) -> None:
    """Whatever stands in one of its fields; it never raises anything."""
    for name in CONFIG:
        for of in (fit_by_config, find_way):
            found = of({**CONFIG, name: value}, machine(8))
            assert found is None or found.fit in ("ok", "tight", "wont-fit")


@pytest.mark.parametrize("config", [{}, {"model_type": "nobody-knows", "hidden_size": 8}, {"hidden_size": "x"}])
def test_shapes_that_are_not_told_give_no_estimate(config: dict[str, Any]) -> None:
    """A stranger's config is no reason to fail."""
    assert fit_by_config(config, machine(8)) is None
