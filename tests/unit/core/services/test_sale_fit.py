"""Where a model fits of what is on sale: by the estimators, the cheapest first, in the same words everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from peft_studio.core.ports import Offer, RegistryModel, Stock
from peft_studio.core.services.model_fit import ModelFit, fit_methods, fit_model
from peft_studio.core.services.sale_fit import OnSale, SaleFit, fit_sale, say_fit
from tests.unit.core.services.test_model_fit import LLAMA_8B, MODEL, machine
from tests.unit.core.services.test_offers import offer

HUGE: dict[str, Any] = {**LLAMA_8B, "hidden_size": 32768, "num_hidden_layers": 200}
SOLD = (
    offer("one", "NVIDIA A100 80GB PCIe", "1.64", gpu_memory_gib=80.0),
    offer("one", "NVIDIA L4", "0.39"),
    offer("two", "RTX_3090", "0.21", stock=Stock.NONE),
    offer("two", "RTX_3090", "0.25", spot=True),
    offer("two", "RTX_3090", "0.31"),
    offer("two", "RTX_3090", "0.44"),
    offer("two", "RTX A4000", "0.17", gpu_memory_gib=16.0),
    offer("two", "RTX A4000", "0.30", gpu_memory_gib=16.0, gpu_count=2),
    offer("two", "Some card", "0.02"),
    offer("ours", "NVIDIA L4", "0"),
)


def fit(config: dict[str, Any] | None = LLAMA_8B, *offers: Offer, model: RegistryModel = MODEL) -> SaleFit:
    now = datetime.now(UTC)
    seen = tuple(one.model_copy(update={"seen_at": now}) for one in offers or SOLD)
    return fit_sale(model, config, OnSale(offers=seen))


def test_the_cheapest_on_which_it_fits_come_first() -> None:
    """One row a card and provider, spot apart; neither what is sold out nor an unknown card; each method has its price."""
    found = fit()

    assert [(row.offer.provider, row.offer.gpu, str(row.offer.usd_per_hour)) for row in found] == [
        ("two", "RTX A4000", "0.17"),
        ("two", "RTX_3090", "0.25"),
        ("two", "RTX_3090", "0.31"),
        ("one", "NVIDIA L4", "0.39"),
        ("one", "NVIDIA A100 80GB PCIe", "1.64"),
    ]
    assert found[0].found.way == "QLoRA with micro-batches of 1"
    assert found[4].found.way == "LoRA"
    assert (found.fit, found.words, str(found)) == ("ok", "fits a GPU on sale from $0.17/h", found.words)
    assert found.sentence == (
        "fits with QLoRA from $0.17/h (RTX A4000 at two, seen just now), with LoRA from $0.25/h (RTX_3090 at two, spot, seen just now)"
    )
    assert "RTX A4000" in repr(found).splitlines()[1]
    assert "<table" in found._repr_html_()


def test_it_is_the_verdict_on_such_a_machine() -> None:
    """The estimators', for as much memory as the provider names."""
    [row] = fit(LLAMA_8B, SOLD[1])
    assert row.found == fit_model(MODEL, LLAMA_8B, machine(24)) or row.found.methods == fit_methods(
        LLAMA_8B, machine(24)
    )
    assert fit(LLAMA_8B, offer("one", "NVIDIA L4", "0.39", gpu_memory_gib=5.0)).fit == "wont-fit"


@pytest.mark.parametrize(
    ("config", "offers", "words", "sentence"),
    [
        (HUGE, (), "too large for what is on sale", "too large for what is on sale"),
        (LLAMA_8B, (offer("a", "RTX 3080", "0.10", gpu_memory_gib=12.0),), "tight on a GPU on sale from $0.10/h", "tight on a GPU on sale from $0.10/h, $0.10/h (RTX 3080 at a, seen just now)"),
        (None, (SOLD[0],), "fits a GPU on sale from $1.64/h", "fits a GPU on sale from $1.64/h by its weights alone, $1.64/h (NVIDIA A100 80GB PCIe at one, seen just now)"),
        (LLAMA_8B, (SOLD[2], SOLD[8]), "", "no GPU of the device table is to be had now"),
    ],
)  # fmt: skip
def test_every_verdict_has_its_words(
    config: dict[str, Any] | None, offers: tuple[Offer, ...], words: str, sentence: str
) -> None:
    """Too large, tight, by the weights alone, not known."""
    found = fit(config, *offers)
    assert (found.words, found.sentence) == (words, sentence)
    assert len(found) == (1 if "GPU on sale" in words else 0)


def test_what_is_not_known_is_said() -> None:
    """Nothing on sale, a model that cannot be trained, a size that nobody knows: no words, and why."""
    nobody = fit_sale(MODEL, LLAMA_8B, OnSale(why_none="no provider of machines is connected"))
    assert (nobody.fit, str(nobody), repr(nobody)) == ("unknown", "—", "no provider of machines is connected.")
    assert fit(None, model=RegistryModel(id="a", registry="ollama")).sentence.startswith("Only models of Hugging Face")
    unknown = fit(None, model=RegistryModel(id="a/b", registry="huggingface"))
    assert (unknown.fit, unknown.sentence, len(unknown)) == ("unknown", "how large the model is is not known", 0)


@pytest.mark.parametrize(
    ("here", "config", "words"),
    [
        ("ok", LLAMA_8B, "fits here"),
        ("tight", LLAMA_8B, "tight here, fits a GPU on sale from $0.17/h"),
        ("wont-fit", LLAMA_8B, "fits a GPU on sale from $0.17/h"),
        ("wont-fit", HUGE, "too large for what is on sale"),
        ("unknown", LLAMA_8B, "fits a GPU on sale from $0.17/h"),
    ],
)
def test_this_machine_comes_first(here: Any, config: dict[str, Any], words: str) -> None:
    """Its own words where it is enough; else where it fits."""
    assert say_fit(ModelFit(here, "", "LoRA"), fit(config)) == words
    nothing = fit_sale(MODEL, config, OnSale(why_none="nothing"))
    alone = {"ok": "fits here", "tight": "tight here", "wont-fit": "too large for this machine", "unknown": ""}
    assert say_fit(ModelFit(here, "", "LoRA"), nothing) == alone[here]
