"""Which adapters fit which base: a table over configs and shapes; nothing is opened."""

from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.models.adapters import AdapterShape, BaseShape, find_mismatches, list_notes

Q = "model.layers.0.self_attn.q_proj"
DIGEST = "sampled-v1:aa"
BASE = BaseShape(
    name="org/base", modules={Q: (64, 32), "model.embed_tokens": (100, 32), "lm_head": (100, 32)}, fingerprint=DIGEST
)
CONFIG: dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "org/base"}


def shapes(rank: int = 4, module: str = Q, out: int = 64, into: int = 32) -> dict[str, tuple[int, ...]]:
    prefix = f"base_model.model.{module}."
    return {prefix + "lora_A.weight": (rank, into), prefix + "lora_B.weight": (out, rank)}


def codes(adapter: AdapterShape, base: BaseShape = BASE) -> set[str]:
    found = find_mismatches(adapter, base)
    assert all(mismatch.message and mismatch.hint for mismatch in found)
    return {mismatch.code for mismatch in found}


@pytest.mark.parametrize(
    "adapter",
    [
        AdapterShape(CONFIG, shapes()),
        AdapterShape({**CONFIG, "base_model_name_or_path": "ORG/Base"}, shapes()),
        AdapterShape({**CONFIG, "base_model_name_or_path": "/somewhere/else/base"}, shapes()),
        AdapterShape({**CONFIG, "base_model_name_or_path": None}, shapes()),
        AdapterShape({**CONFIG, "rank_pattern": {"q_proj": 2}}, shapes(rank=2)),
        AdapterShape({**CONFIG, "rank_pattern": {r"layers\.\d+\.self_attn\.q_proj": 2}}, shapes(rank=2)),
        AdapterShape({**CONFIG, "use_dora": True}, {**shapes(), f"base_model.model.{Q}.lora_magnitude_vector": (64,)}),
        AdapterShape(CONFIG, shapes(module="lm_head", out=100)),
        AdapterShape(
            CONFIG,
            {
                "base_model.model.model.embed_tokens.lora_embedding_A": (4, 100),
                "base_model.model.model.embed_tokens.lora_embedding_B": (32, 4),
            },
        ),
        AdapterShape(CONFIG, {**shapes(), "base_model.model.lm_head.weight": (100, 32)}),
        AdapterShape(CONFIG, shapes(), {"base_model": "org/base", "base_sha256": DIGEST}),
        AdapterShape(CONFIG, shapes(), {"base_model": "org/base", "base_sha256": "0" * 64}),  # a digest of another kind
        AdapterShape(CONFIG, shapes(), {"base_model": "my/copy", "base_sha256": DIGEST}),  # the same weights, renamed
    ],
)
def test_fits(adapter: AdapterShape) -> None:
    """Adapters of this base fit, under any spelling of its name and with every part of a LoRA."""
    assert codes(adapter) == set()


@pytest.mark.parametrize(
    ("adapter", "code"),
    [
        (AdapterShape({**CONFIG, "base_model_name_or_path": "org/other"}, shapes()), "other-base"),
        (AdapterShape(CONFIG, shapes(), {"base_model": "org/other"}), "other-base"),
        (AdapterShape(CONFIG, shapes(), {"base_model": "org/base", "base_sha256": "sampled-v1:bb"}), "other-base"),
        (AdapterShape({**CONFIG, "r": 8}, shapes(rank=4)), "rank"),
        (AdapterShape(CONFIG, shapes(module="model.layers.9.self_attn.q_proj")), "target"),
        (AdapterShape(CONFIG, shapes(into=48)), "shape"),
        (AdapterShape(CONFIG, shapes(out=48)), "shape"),
        (AdapterShape(CONFIG, {**shapes(), "base_model.model.lm_head.weight": (101, 32)}), "shape"),
        (AdapterShape({**CONFIG, "use_dora": True}, {f"base_model.model.{Q}.lora_magnitude_vector": (9,)}), "shape"),
        (AdapterShape(CONFIG, {}), "empty"),
        (AdapterShape({**CONFIG, "peft_type": "IA3"}, shapes()), "kind"),
        (AdapterShape({}, shapes()), "kind"),
        (AdapterShape({**CONFIG, "init_lora_weights": "pissa_niter_4"}, shapes()), "unconverted"),
        (AdapterShape({**CONFIG, "bias": "all"}, shapes()), "changes-base"),
        (AdapterShape({**CONFIG, "megatron_config": {"x": 1}, "megatron_core": "evil"}, shapes()), "code"),
        (AdapterShape({**CONFIG, "layer_replication": [[0, 1]]}, shapes()), "changes-base"),
    ],
)
def test_does_not_fit(adapter: AdapterShape, code: str) -> None:
    """Each way of not fitting is told apart, with a reason and a way out."""
    assert codes(adapter) == {code}


def test_embedded_model_and_its_origin_are_one() -> None:
    """An adapter of the repository that smollm2-135m was made from fits it, and the other way round."""
    hub = {**CONFIG, "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    embedded = BaseShape("smollm2-135m", BASE.modules, DIGEST)
    assert codes(AdapterShape(hub, shapes(), {"base_sha256": "sampled-v1:bb"}), embedded) == set()
    back = AdapterShape({**CONFIG, "base_model_name_or_path": "smollm2-135m"}, shapes())
    assert codes(back, BaseShape("huggingfacetb/smollm2-135m-instruct", BASE.modules, None)) == set()


def test_a_persons_word_lifts_the_base_and_nothing_else() -> None:
    """With same_base an adapter of another name is let in, one of another shape is not."""
    other = {**CONFIG, "base_model_name_or_path": "org/other"}
    assert find_mismatches(AdapterShape(other, shapes()), BASE, same_base=True) == []
    assert [m.code for m in find_mismatches(AdapterShape(other, shapes(into=48)), BASE, same_base=True)] == ["shape"]


def test_transposed_layers() -> None:
    """GPT-2's layers are stored (in, out), and files lack the wrapper's prefix; fan_in_fan_out says so."""
    base = BaseShape("org/gpt", {"h.0.attn.c_attn": (32, 96)})
    config = {**CONFIG, "base_model_name_or_path": None, "fan_in_fan_out": True}
    assert codes(AdapterShape(config, shapes(module="transformer.h.0.attn.c_attn", out=96)), base) == set()
    assert codes(AdapterShape(config, shapes(module="transformer.h.0.attn.c_attn", out=32, into=96)), base) == {"shape"}


def test_a_wrong_base_is_not_reported_a_hundred_times() -> None:
    """A model of another size gives at most five reasons."""
    many = {k: v for n in range(100) for k, v in shapes(module=f"model.layers.{n + 1}.self_attn.q_proj").items()}
    assert len(find_mismatches(AdapterShape(CONFIG, many), BASE)) == 5


def test_layout_decides_what_can_be_copied_over() -> None:
    """Equal shapes and scale give one layout; another rank, scale or method gives another."""
    one = AdapterShape(CONFIG, shapes())
    assert one.layout == AdapterShape({**CONFIG, "lora_dropout": 0.1}, shapes()).layout
    for other in (
        AdapterShape(CONFIG, shapes(rank=8)),
        AdapterShape({**CONFIG, "lora_alpha": 9}, shapes()),
        AdapterShape({**CONFIG, "use_dora": True}, shapes()),
        AdapterShape({**CONFIG, "use_rslora": True}, shapes()),
    ):
        assert one.layout != other.layout


def test_notes_say_what_costs() -> None:
    """DoRA and whole layers in an adapter are allowed, and said."""
    assert list_notes(AdapterShape(CONFIG, shapes())) == []
    both = AdapterShape({**CONFIG, "use_dora": True}, {**shapes(), "base_model.model.lm_head.weight": (100, 32)})
    assert [word in note for word, note in zip(("DoRA", "modules_to_save"), list_notes(both), strict=True)] == [
        True,
        True,
    ]
