"""The studio's face of machines for rent, against RunPod's emulator: offers and quotes, with and without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.connectors.base import door, patience
from peft_studio.core.errors import NotAuthorised, StudioError
from tests.emulators.machine import Machines
from tests.emulators.runpod import Cloud, make_gpu, serve_runpod
from tests.speed import write_speed
from tests.tiny import write_rows, write_tokenizer

KEY = "rpa_" + "A" * 40


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
    monkeypatch.delenv("PEFT_STUDIO_CONNECTORS", raising=False)
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    gpus = [make_gpu("NVIDIA L4", 24, secure=0.39), make_gpu("NVIDIA A100 80GB PCIe", 80, secure=1.64, community=1.19)]
    made = Cloud(machines=Machines(tmp_path / "pods"), gpus=gpus, keys={KEY: "all"})
    with serve_runpod(made) as (address, proxy):
        monkeypatch.setenv("RUNPOD_URL", address)
        monkeypatch.setenv("RUNPOD_PROXY_URL", proxy)
        yield made


@pytest.fixture
def studio(cloud: Cloud, tmp_path: Path) -> Studio:
    return Studio(home=write_speed(tmp_path / "home"))


@pytest.fixture
def spec(studio: Studio, tmp_path: Path) -> Any:
    folder = tmp_path / "model"
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": write_tokenizer(folder), "max_position_embeddings": 512,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return studio.spec(model=str(folder), data=studio.data(str(write_rows(tmp_path / "rows.jsonl", 200))))


def test_offers_of_a_connected_provider(studio: Studio) -> None:
    """None before it is connected, and the next step; then all of it, by words of a card."""
    assert "studio.connect('" in repr(studio.offers())
    with pytest.raises(NotAuthorised):
        studio.connect("runpod", key="rpa_" + "B" * 40)
    assert "1 machine" not in studio.connect("runpod", key=KEY).account.note  # type: ignore[union-attr]
    found = studio.offers(gpu="A100", min_memory_gib=40)
    assert [(one.provider, str(one.usd_per_hour)) for one in found] == [("runpod", "1.19"), ("runpod", "1.64")]
    assert KEY not in repr(found) + found._repr_html_()
    assert len(studio.offers(spot=True)) == 0
    with pytest.raises(StudioError, match="no provider 'runpot'") as caught:
        studio.offers(provider="runpot")
    assert "runpod" in caught.value.hint


def test_machines_with_several_cards(studio: Studio, spec: Any, cloud: Cloud, tmp_path: Path) -> None:
    """Where they are asked for, at the price of the machine; by themselves where the run fits no single card, and there its base is shared out."""
    studio.connect("runpod", key=KEY)
    assert {row.offer.gpu_count for row in studio.quotes(spec) if row.offer} == {1}
    both = [row.offer for row in studio.quotes(spec, gpu="L4", gpu_count=(1, 2)) if row.offer]
    assert [(one.gpu_count, str(one.usd_per_hour)) for one in both] == [(1, "0.39"), (2, "0.78")]

    large = json.loads((tmp_path / "model" / "config.json").read_text())
    large |= {
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
    }
    (tmp_path / "model" / "config.json").write_text(json.dumps(large))
    rows = studio.quotes(
        studio.spec(model=spec.model, data=studio.data(spec.data.origin), method="lora"), measure=False
    )
    best = rows.cheapest
    assert best
    assert best.offer
    assert best.quote
    assert best.offer.gpu_count > 1
    assert best.quote.device.endswith("FSDP")
    assert any("would need" in note for note in rows.notes)


def test_without_a_network_offers_are_those_of_before(studio: Studio, cloud: Cloud) -> None:
    """With the reason; nothing is asked; what was never asked for has none."""
    studio.connect("runpod", key=KEY)
    studio.offers(gpu="L4")
    asked = len(cloud.asked)
    studio.offline = "on a train"
    found = studio.offers(gpu="L4")
    assert [one.gpu for one in found] == ["NVIDIA L4"]
    assert "on a train" in found.old["runpod"]
    assert "on a train" in studio.offers(gpu="H100").missing["runpod"]
    assert len(cloud.asked) == asked


def test_quotes_of_a_spec(studio: Studio, spec: Any) -> None:
    """This machine first at no cost; then offers by total dollars; the file of a spec will do as well."""
    studio.connect("runpod", key=KEY)
    found = studio.quotes(spec)
    assert [row.provider for row in found] == ["local", "runpod", "runpod", "runpod"]
    assert found[0].cost is not None
    assert found[0].cost.value == 0
    assert next(row.offer.gpu for row in found if row.offer) == "NVIDIA L4"
    totals = [row.cost.value for row in found if row.cost]
    assert totals == sorted(totals)
    path = studio.export(spec, studio.home / "spec.json")
    assert [row.provider for row in studio.quotes(path, gpu="L4")] == ["local", "runpod"]


def test_quotes_without_any_provider_are_of_this_machine(studio: Studio, spec: Any) -> None:
    """And the next step."""
    found = studio.quotes(spec)
    assert [row.provider for row in found] == ["local"]
    assert "No provider of machines is connected" in repr(found)


def test_a_loaded_spec_is_mapped_to_what_is_equal_or_better(studio: Studio, spec: Any, tmp_path: Path) -> None:
    """By the machine it was written on, though loading has fitted it to this one; a spec made here has no such note."""
    studio.connect("runpod", key=KEY)
    there = spec.basis.model_copy(update={"device": "cuda", "bf16": True, "free_bytes": 40 * 2**30})
    path = studio.export(spec.replace(basis=there), tmp_path / "setup.json")
    for given in (studio.load(path)[0], path):
        found = studio.quotes(given)
        assert {row.offer.gpu for row in found.equal_or_better if row.offer} == {"NVIDIA A100 80GB PCIe"}
        assert "The spec was made on a GPU with 40.0 GiB free and bf16: 2 offers are equal or better" in repr(found)
    assert (
        studio.quotes(studio.spec(model=spec.model, data=studio.data(str(tmp_path / "rows.jsonl")))).equal_or_better
        == ()
    )
