"""A spec on every machine that is on sale: dollars and hours of all of it, in an order that a person can trust."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.compute import find_gpu
from peft_studio.core.ports import Offer, Stock
from peft_studio.core.services.fit_offers import fit_offers
from peft_studio.core.services.offers import OfferList
from peft_studio.core.services.quote import NONE, Place
from peft_studio.core.services.quote_list import QuoteList, build_quote_list
from peft_studio.core.services.quotes import build_offer_quotes, changes, disk_gib, fit_to_card
from peft_studio.core.services.start_history import Start
from tests.tiny import write_rows, write_tokenizer

GIB = 2**30
LARGE = {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
}


@pytest.fixture
def spec(tmp_path: Path) -> Any:
    """A spec for a model of about a billion parameters, of which only the sizes are here."""
    folder = tmp_path / "model"
    folder.mkdir()
    size = write_tokenizer(folder)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": size, "max_position_embeddings": 2048, "tie_word_embeddings": True, **LARGE}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    studio = Studio(home=tmp_path / "home")
    return studio.spec(model=str(folder), data=studio.data(str(write_rows(tmp_path / "rows.jsonl", 400))), epochs=3)


def offer(gpu: str, usd: str, memory: float | None = 24.0, **fields: Any) -> Offer:
    given = {"id": f"{gpu} {usd}", "provider": "p", "gpu_count": 1, "stock": Stock.HIGH, "seen_at": datetime.now(UTC)}
    return Offer(gpu=gpu, usd_per_hour=Decimal(usd), gpu_memory_gib=memory, **{**given, **fields})


@pytest.fixture
def quote(spec: Any, tmp_path: Path) -> Callable[..., QuoteList]:
    def build(*offers: Offer, free_gib: float = 64.0, **given: Any) -> QuoteList:
        local = Place("cpu", "here", free_gib * GIB, None, None)
        return build_quote_list(
            spec, tmp_path / "home", OfferList(offers, missing={}, old={}), local=local, corrections=NONE, **given
        )

    return build


def test_total_is_start_installation_download_run_disk_and_traffic(spec: Any, tmp_path: Path) -> None:
    """The value is the sum of its parts, each as the offer bills; the range holds it."""
    one = offer("NVIDIA L4", "0.72", storage_usd_per_gb_month=Decimal("0.1"), download_usd_per_gb=Decimal("0.02"))
    row = build_offer_quotes(spec, tmp_path / "home", [one])[0]
    assert row.duration is not None
    assert row.cost is not None
    assert {"start", "install", "download", "training", "set-up", "saving"} <= set(row.duration.parts)
    seconds = float(row.duration.value)
    assert seconds == pytest.approx(sum(float(part) for part in row.duration.parts.values()))
    assert float(row.cost.parts["compute"]) == pytest.approx(0.72 * math.ceil(seconds) / 3600)
    gigabytes = disk_gib(1.1e9 * 2)
    assert float(row.cost.parts["storage"]) == pytest.approx(0.1 * gigabytes * seconds / 3600 / 730, rel=1e-6)
    assert float(row.cost.parts["traffic"]) > 0.02 * 3
    assert row.cost.low < row.cost.value < row.cost.high
    assert "assumed" in row.cost.basis


def test_a_start_that_is_not_billed_costs_nothing(spec: Any, tmp_path: Path) -> None:
    """Its minutes are counted in time, and not in dollars."""
    billed, free = build_offer_quotes(
        spec, tmp_path / "home", [offer("NVIDIA L4", "3.6"), offer("NVIDIA L4", "3.6", bills_start=False)]
    )
    assert billed.duration == free.duration
    assert billed.cost is not None
    assert free.cost is not None
    assert float(Decimal(billed.cost.value) - Decimal(free.cost.value)) == pytest.approx(3.6 * 120 / 3600, abs=0.002)


def test_local_first_then_by_dollars_and_what_is_not_known_last(quote: Callable[..., QuoteList]) -> None:
    """Sold out after what is to be had, what does not fit after that, a card without a row in the table at the end, with dashes."""
    found = quote(
        offer("NVIDIA Titan Zeta", "0.01"), offer("NVIDIA H100 PCIe", "2.39", 80.0), offer("NVIDIA L4", "0.39"), offer("NVIDIA L4", "0.30", stock=Stock.NONE),
        offer("NVIDIA A100 80GB PCIe", "1.19", 80.0), offer("NVIDIA GeForce RTX 3080", "0.10", 1.0), offer("NVIDIA L4", "9.00", gpu_count=8),
    )  # fmt: skip
    order = [(row.provider, row.offer and row.offer.id) for row in found]
    assert order[0] == ("local", None)
    known = [row for row in found if row.cost and row.fits and row.is_to_be_had and row.offer]
    assert [row.cost.value for row in known if row.cost] == sorted(row.cost.value for row in known if row.cost)
    assert [name for _, name in order[-3:]] == [
        "NVIDIA L4 0.30",
        "NVIDIA GeForce RTX 3080 0.10",
        "NVIDIA Titan Zeta 0.01",
    ]
    unknown = found.cells(found[len(found) - 1])
    assert unknown[2:5] == ("—", "—", "—")
    assert "Not in the device table, so without numbers: NVIDIA Titan Zeta." in found.notes
    assert found.cheapest is not None
    assert found.cheapest.offer is not None
    assert "<table" in found._repr_html_()
    assert len(found.to_pandas()) == len(found) == 8


def test_several_cards_are_quicker_and_say_what_was_assumed(quote: Callable[..., QuoteList]) -> None:
    """The price is the machine's. Two cards take less time and more dollars, so they stand after one; where loading is most of it eight help less."""
    found = quote(*(offer("NVIDIA L4", usd, gpu_count=count) for usd, count in (("0.40", 1), ("0.80", 2), ("3.20", 8))))
    rows = {row.offer.gpu_count: row for row in found if row.offer}
    one, two, eight = rows[1], rows[2], rows[8]
    assert one.duration and two.duration and eight.duration and one.cost and two.cost  # noqa: PT018
    assert one.duration.value > two.duration.value > eight.duration.value
    assert two.duration.parts["training"] > one.duration.parts["training"] / 2
    assert one.cost.value < two.cost.value
    assert [row.offer.gpu_count for row in found if row.offer] == [1, 2, 8]
    assert two.quote
    assert two.quote.device == "2 × L4, DDP"
    assert "not measured" in two.duration.basis
    assert two.quote.memory
    assert "the whole model fits each device" in two.quote.memory.basis
    assert found.cells(two)[1] == "2 × NVIDIA L4"


def test_what_fits_no_card_alone_is_shared_out(spec: Any, tmp_path: Path) -> None:
    """LoRA in bf16 on cards of 2 GiB, each with a share; launched there, the spec says so, since the node cannot count it before it has the model."""
    lora = spec.replace(
        method="lora", quantization=None, gradient_checkpointing=True, batch_size=1, gradient_accumulation_steps=16
    )
    offers = [offer("NVIDIA L4", str(count), 2.0, gpu_count=count) for count in (1, 4)]
    one, four = build_offer_quotes(lora, tmp_path / "home", offers)
    assert one.quote and four.quote  # noqa: PT018
    assert (one.quote.fit, four.quote.device) == ("wont-fit", "4 × L4, FSDP")
    assert four.fits
    assert any("would need" in note for note in four.quote.notes)
    [fitted] = fit_offers(lora, tmp_path / "home", [offers[1]])
    assert (fitted.spec.sharding, fitted.quote and fitted.quote.device) == ("fsdp", "4 × L4, FSDP")
    assert fit_offers(lora, tmp_path / "home", [offer("NVIDIA L4", "1", gpu_count=2)])[0].spec.sharding == "auto"


def test_more_processes_than_cards_gets_no_number(spec: Any, tmp_path: Path) -> None:
    """The note says why."""
    row = build_offer_quotes(spec.replace(processes=4), tmp_path / "home", [offer("NVIDIA L4", "1", gpu_count=2)])[0]
    assert row.quote
    assert (row.fits, row.quote.memory) == (False, None)
    assert "there are 2 GPUs" in row.quote.notes[0]


def test_where_it_does_not_fit_local_is_not_first(quote: Callable[..., QuoteList]) -> None:
    """It stands with what does not fit."""
    found = quote(offer("NVIDIA L4", "0.39"), free_gib=0.5)
    assert [row.provider for row in found] == ["p", "local"]


def test_sold_out_shows_what_is_nearest_and_what_it_costs_more_for_this_run(quote: Callable[..., QuoteList]) -> None:
    """In dollars of the whole run, not of an hour."""
    found = quote(
        offer("NVIDIA L4", "0.30", stock=Stock.NONE),
        offer("NVIDIA L4", "0.39"),
        offer("NVIDIA A100 80GB PCIe", "1.19", 80.0),
    )
    gone = next(row for row in found if not row.is_to_be_had)
    assert [one.offer.id for one in gone.alternatives] == ["NVIDIA L4 0.39", "NVIDIA A100 80GB PCIe 1.19"]
    other = next(row for row in found if row.offer and row.offer.id == "NVIDIA L4 0.39")
    assert other.cost is not None
    assert gone.cost is not None
    assert gone.more_usd["p", "NVIDIA L4 0.39"] == Decimal(other.cost.value) - Decimal(gone.cost.value)
    assert any(
        "is sold out. Nearest: NVIDIA L4 at p (about the same" in note and "for this run" in note
        for note in found.notes
    )


def test_what_nobody_chose_is_derived_for_the_card(spec: Any) -> None:
    """On a card with bfloat16 that is used; what was chosen stays; the notes say it."""
    a100, v100 = find_gpu("NVIDIA A100 80GB PCIe"), find_gpu("V100 SXM2 32GB")
    assert a100 is not None
    assert v100 is not None
    assert fit_to_card(spec, a100, memory_bytes=80.0 * GIB).precision == "bf16"
    assert fit_to_card(spec, v100, memory_bytes=32.0 * GIB).precision != "bf16"
    chosen = spec.replace(precision="fp32")
    assert fit_to_card(chosen, a100, memory_bytes=80.0 * GIB).precision == "fp32"
    assert "epochs" not in " ".join(changes(spec, fit_to_card(spec, a100, memory_bytes=80.0 * GIB)))


def test_a_spec_from_elsewhere_is_mapped_to_what_is_equal_or_better(quote: Callable[..., QuoteList], spec: Any) -> None:
    """By memory, and by bfloat16 where that had it; the note names the first, or says that there is none."""
    made_on = spec.basis.model_copy(update={"device": "cuda", "bf16": True, "free_bytes": 22 * GIB})
    offers = [
        offer("NVIDIA L4", "0.39"),
        offer("V100 SXM2 32GB", "0.20", 32.0),
        offer("NVIDIA RTX A4000", "0.19", 16.0),
        offer("NVIDIA A100 80GB PCIe", "1.19", 80.0),
    ]
    found = quote(*offers, made_on=made_on)
    assert {row.offer.gpu for row in found.equal_or_better if row.offer} == {"NVIDIA L4", "NVIDIA A100 80GB PCIe"}
    note = next(note for note in found.notes if "The spec was made on" in note)
    assert "a GPU with 22.0 GiB free and bf16: 2 offers are equal or better, the first NVIDIA" in note
    assert "no connected provider has an equal or better one" in repr(quote(offers[2], made_on=made_on))
    assert quote(*offers).equal_or_better == ()


def test_starts_that_were_seen_stand_in_the_table(quote: Callable[..., QuoteList]) -> None:
    """With their range, in place of what is assumed."""
    history = [Start("p", "NVIDIA L4", seconds, 45.0) for seconds in (40.0, 60.0, 90.0)]
    found = quote(offer("NVIDIA L4", "0.39"), history=history)
    assert found.cells(found[1])[5] == "1 m (40 s–1 m 30 s)"
    assert found[1].duration is not None
    assert found[1].duration.parts["install"] == 45.0


def test_forty_offers_take_a_moment(quote: Callable[..., QuoteList]) -> None:
    """Cards that come again are estimated once."""
    offers = [offer(gpu, f"0.{n:02}", 24.0) for n in range(20) for gpu in ("NVIDIA L4", "NVIDIA GeForce RTX 4090")]
    quote(*offers[:2])
    began = time.process_time()
    assert len(quote(*offers)) == 41
    assert time.process_time() - began < 2.0
