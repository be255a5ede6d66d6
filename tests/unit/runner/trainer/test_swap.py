"""Resident adapters: every switch gives, to the bit, what plain peft gives on a fresh base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from peft_studio.core.models.adapter_files import check_adapter, read_base_shape  # noqa: E402  after importorskip
from peft_studio.runner.trainer import swap  # noqa: E402
from peft_studio.runner.trainer.load import load_base  # noqa: E402
from peft_studio.runner.trainer.swap import ResidentAdapters  # noqa: E402
from tests.unit.runner.trainer.tiny_model import save_adapter, save_tiny_model  # noqa: E402

IDS = torch.arange(3, 12)[None]
KINDS: dict[str, dict[str, Any]] = {
    "one": {"seed": 1},
    "two": {"seed": 2},  # the layout of one: attached by cloning
    "wide": {"seed": 3, "rank": 8},
    "few": {"seed": 4, "targets": ["q_proj"]},
    "mixed": {"seed": 5, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    "dora": {"seed": 6, "use_dora": True},
    "dora 2": {"seed": 7, "use_dora": True},
    "rs.lora": {"seed": 8, "use_rslora": True},
    "head": {"seed": 9, "targets": ["q_proj"], "modules_to_save": ["lm_head"]},
    "embedding": {"seed": 10, "targets": ["q_proj", "embed_tokens"]},
    "embedding 2": {"seed": 11, "targets": ["q_proj", "embed_tokens"]},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def folders(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    return {name: save_adapter(tiny, root / name, **settings) for name, settings in KINDS.items()}


@pytest.fixture
def attach(tiny: Path, folders: dict[str, Path]) -> Callable[..., None]:
    shape = read_base_shape(tiny)

    def do(adapters: ResidentAdapters, name: str, folder: str = "") -> None:
        path = folders[folder or name]
        adapters.attach(name, path, check_adapter(path, shape))

    return do


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(IDS).logits


def by_peft(tiny: Path, folder: Path) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), folder).eval())


@pytest.mark.parametrize("fast", [True, False])
def test_every_kind_answers_as_in_plain_peft(
    tiny: Path, folders: dict[str, Path], attach: Callable[..., None], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven adapters of mixed rank, targets and method share a base; each, and the bare base, gives plain peft's logits."""
    if (
        not fast
    ):  # as if peft had changed what our shortcut relies on: the check at the start notices, and peft's way is used
        monkeypatch.setattr(swap, "_write_active", lambda layers, slot: None)
    base = load_base(tiny)
    plain = logits(base)
    adapters = ResidentAdapters(base)
    for name in KINDS:
        attach(adapters, name)
        assert adapters.active is None
        assert torch.equal(logits(base), plain)
    assert adapters.fast == fast
    assert any("set_adapter" in note for note in adapters.notes) == (not fast)
    for name in [*KINDS, None, *reversed(KINDS), None]:
        adapters.switch(name)
        expected = plain if name is None else by_peft(tiny, folders[name])
        assert torch.equal(logits(base), expected), name


def test_adapters_differ(tiny: Path, folders: dict[str, Path]) -> None:
    """The adapters used here are worth telling apart: no two give the same logits, and none those of the base."""
    every = [logits(load_base(tiny)), *(by_peft(tiny, folder) for folder in folders.values())]
    assert all(not torch.equal(one, other) for n, one in enumerate(every) for other in every[:n])


@pytest.mark.parametrize("quantization", ["nf4", pytest.param("int8", marks=pytest.mark.stress)])
def test_quantised_base(tiny: Path, folders: dict[str, Path], attach: Callable[..., None], quantization: str) -> None:
    """On a quantised base a switch gives what peft's load_adapter gives there."""
    from peft import PeftModel

    base = load_base(tiny, quantization=quantization)
    adapters = ResidentAdapters(base)
    for name in ("one", "two", "wide"):
        attach(adapters, name)
    for name in ("two", "wide", "one"):
        adapters.switch(name)
        fresh = PeftModel.from_pretrained(load_base(tiny, quantization=quantization), folders[name]).eval()
        assert torch.equal(logits(base), logits(fresh))


def test_replacing_an_adapter(tiny: Path, folders: dict[str, Path], attach: Callable[..., None]) -> None:
    """A name given again means the new files, of the same layout or another; the others are not touched."""
    base = load_base(tiny)
    adapters = ResidentAdapters(base)
    for name in ("one", "wide"):
        attach(adapters, name)
    adapters.switch("one")
    for source in ("two", "one", "two", "few", "dora"):
        attach(adapters, "one", source)
        assert adapters.active == "one"
        assert torch.equal(logits(base), by_peft(tiny, folders[source])), source
    adapters.switch("wide")
    assert torch.equal(logits(base), by_peft(tiny, folders["wide"]))
    assert adapters.names == ("one", "wide")


def test_taking_adapters_out(tiny: Path, attach: Callable[..., None]) -> None:
    """The base answers when the active adapter goes; with the last one gone it is a plain model again, and can start anew."""
    base = load_base(tiny)
    plain, modules = logits(base), [type(module) for module in base.modules()]
    adapters = ResidentAdapters(base)
    for last, other in (("one", "head"), ("head", "one")):
        for name in ("one", "few", "head"):
            attach(adapters, name)
        adapters.switch("few")
        adapters.detach("few")
        assert adapters.active is None
        assert torch.equal(logits(base), plain)
        adapters.switch(last)
        adapters.detach(other)
        assert adapters.active == last
        assert not torch.equal(logits(base), plain)
        adapters.detach(last)
        assert torch.equal(logits(base), plain)
        assert [type(module) for module in base.modules()] == modules


def test_cloning_is_given_up_when_it_goes_wrong(
    tiny: Path, folders: dict[str, Path], attach: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the cloned slot would answer differently, peft's load_adapter is used instead, and a note says so."""
    monkeypatch.setattr(swap, "copy_into_slot", lambda layers, slot, tensors: None)
    base = load_base(tiny)
    adapters = ResidentAdapters(base)
    for name in ("one", "two"):
        attach(adapters, name)
    adapters.switch("two")
    assert torch.equal(logits(base), by_peft(tiny, folders["two"]))
    assert any("load_adapter" in note for note in adapters.notes)


def test_unknown_name(tiny: Path) -> None:
    """Switching to what is not resident is a KeyError and changes nothing."""
    adapters = ResidentAdapters(load_base(tiny))
    with pytest.raises(KeyError):
        adapters.switch("nobody")
    assert adapters.active is None
