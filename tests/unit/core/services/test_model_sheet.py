"""One model as code meets it, and the fits of a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import NotFound, Offline
from peft_studio.core.offline.cache import Cache
from peft_studio.core.ports import ModelDetails, RegistryModel
from peft_studio.core.services.kept import Kept
from peft_studio.core.services.model_fit import WEIGHTS_ALONE, ModelFit, fit_model
from peft_studio.core.services.model_sheet import LOOKED_UP, fetch_sheet, find_fits
from tests.unit.connectors.catalog import hostile
from tests.unit.connectors.catalog.hostile import Good, make_info
from tests.unit.core.services.test_model_fit import LLAMA_8B, machine


class World:
    """A registry that gives every model the same shapes, and may be gone."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.gone = False
        info = make_info("huggingface", connector=f"{hostile.__name__}:sheets")
        methods = {"info": info, "get_model": lambda _, name: self.get(name)}
        monkeypatch.setattr(hostile, "sheets", type("Sheets", (Good,), methods), raising=False)
        self.catalog = Catalog(home, sources=[Source("huggingface", "test", lambda: info)], gate=self._gate)
        self.kept = Kept(Cache(home / "cache"))

    def _gate(self, info: Any) -> None:
        if self.gone:
            raise Offline("It needs the network.")

    def get(self, name: str) -> ModelDetails:
        self.asked.append(name)
        if name == "a/1":
            raise NotFound("It is gone.")
        return ModelDetails(model=model(name), config=LLAMA_8B)

    def fits(self, names: list[RegistryModel], gib: float = 80, **known: ModelFit) -> dict[tuple[str, str], ModelFit]:
        before = {("huggingface", name): fit for name, fit in known.items()}
        return find_fits(self.catalog, names, before, where=machine(gib), kept=self.kept)


def model(name: str, **facts: Any) -> RegistryModel:
    return RegistryModel(id=name, registry="huggingface", parameters=8_000_000_000, licence="mit\u202e", **facts)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_the_first_of_a_list_are_looked_up(world: World) -> None:
    """No more than a few; of the others, and of one that fails, the weights tell; what cannot be trained is not asked for."""
    models = [model(f"a/{n}", format="gguf" if n == 2 else "safetensors") for n in range(20)]
    found = world.fits(models)

    assert len(found) == 20
    assert (found["huggingface", "a/0"].fit, found["huggingface", "a/0"].way) == ("ok", "LoRA")
    assert found["huggingface", "a/1"].sentence.startswith("It is gone. Its weights")
    assert found["huggingface", "a/2"].fit == "unknown"
    assert found["huggingface", "a/19"].way == WEIGHTS_ALONE
    assert sorted(world.asked) == sorted(f"a/{n}" for n in (0, 1, *range(3, LOOKED_UP + 1)))


def test_what_is_known_stays_and_details_of_before_are_used(world: World) -> None:
    """Without a network, too, and for another machine."""
    first = world.fits([model("a/0")])
    world.gone = True
    again = world.fits([model("a/0"), model("a/9")], gib=16)

    assert again["huggingface", "a/0"].way == "QLoRA with micro-batches of 1"
    assert again["huggingface", "a/9"].way == WEIGHTS_ALONE
    known = find_fits(world.catalog, [model("a/0")], first, where=machine(1), kept=world.kept)
    assert known == first


def test_a_sheet_says_what_is_known_and_where_it_fits(world: World) -> None:
    """The same verdict as in a list; the smallest cards; its age without a network; a stranger's words as text."""
    sheet = fetch_sheet(world.catalog, "huggingface", "a/0", kept=world.kept, make_ready=lambda name: None)

    assert (sheet.as_of, sheet.config) == ("", LLAMA_8B)
    assert fit_model(sheet.model, sheet.config, machine(80)) == world.fits([model("a/0")])["huggingface", "a/0"]
    shown = repr(sheet)
    assert str(sheet) == shown
    assert shown.splitlines()[0] == "a/0 (huggingface)"
    assert "8.0B parameters" in shown
    assert f"here: {sheet.fit.fit}. {sheet.fit.sentence}" in shown
    assert "for rent: fits an RTX 3090 (24 GiB) with LoRA, an RTX A4000 (16 GiB) with QLoRA" in shown
    assert "\u202e" not in shown
    world.gone = True
    before = fetch_sheet(world.catalog, "huggingface", "a/0", kept=world.kept, make_ready=lambda name: None)
    assert (before.as_of, before.model, repr(before).splitlines()[0]) == (
        "just now",
        sheet.model,
        "a/0 (huggingface), just now",
    )
    with pytest.raises(Offline):
        fetch_sheet(world.catalog, "huggingface", "a/8", kept=world.kept, make_ready=lambda name: None)
