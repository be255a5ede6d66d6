"""Whether a listed model can be trained: by the estimators, the way that costs least first, and "unknown" where nothing is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import NotFound
from peft_studio.core.ports import ModelDetails, RegistryModel
from peft_studio.core.services.model_fit import LOOKED_UP, find_fits, judge_fit
from peft_studio.core.services.quote import Place, find_place
from tests.unit.connectors.catalog import hostile
from tests.unit.connectors.catalog.hostile import Good, make_info

LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "vocab_size": 128256,
}  # fmt: skip


def card(gib: float) -> Place:
    return Place("cuda", f"{gib} GiB", gib * 2**30, None, None, here=False)


@pytest.mark.parametrize(
    ("gib", "fit", "way"),
    [(80, "ok", "LoRA"), (24, "ok", "LoRA with gradient checkpointing"), (16, "ok", "QLoRA with gradient checkpointing"), (5, "wont-fit", "QLoRA with gradient checkpointing")],
)  # fmt: skip
def test_the_way_that_costs_least_is_taken(gib: float, fit: str, way: str) -> None:
    """An 8B model of 16 GB: plainly on 80 GiB, with checkpointing on 24, as QLoRA on 16, not on 5."""
    found = judge_fit(LLAMA_8B, card(gib))

    assert (found.fit, found.way) == (fit, way)
    assert f"of {gib:.1f} GiB" in found.sentence
    assert "1,024 tokens" in found.sentence


@pytest.mark.parametrize("config", [None, {}, {"model_type": "llama"}, {"hidden_size": "wide"}])
def test_without_shapes_it_is_unknown(config: dict[str, Any] | None) -> None:
    """Nothing is guessed from a name."""
    assert judge_fit(config, card(80)).fit == "unknown"
    assert str(judge_fit(config, card(80))) == "unknown"


def test_here_is_this_machine() -> None:
    """With the memory that is free now."""
    assert judge_fit(
        LLAMA_8B | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
        find_place("local"),
    ).fit in ("ok", "tight")


def test_the_first_of_a_list_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a few; one that fails is unknown with its reason, a GGUF is not asked for."""
    asked: list[str] = []

    def get_model(registry: Any, model: str) -> ModelDetails:
        asked.append(model)
        if model == "a/1":
            raise NotFound("It is gone.")
        return ModelDetails(model=RegistryModel(id=model, registry="shelf"), config=LLAMA_8B)

    info = make_info("shelf", connector=f"{hostile.__name__}:shelf")
    monkeypatch.setattr(hostile, "shelf", type("Shelf", (Good,), {"info": info, "get_model": get_model}), raising=False)
    catalog = Catalog(tmp_path, sources=[Source("shelf", "test", lambda: info)])
    models = [
        RegistryModel(id=f"a/{n}", registry="shelf", format="gguf" if n == 2 else "safetensors") for n in range(20)
    ]

    found = find_fits(catalog, models, card(80))

    assert len(found) == LOOKED_UP
    assert found["shelf", "a/0"].fit == "ok"
    assert (found["shelf", "a/1"].fit, found["shelf", "a/1"].sentence) == ("unknown", "It is gone.")
    assert found["shelf", "a/2"].fit == "unknown"
    assert "a/2" not in asked
