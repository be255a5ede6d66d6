"""A wrong kind of key is said before it is sent, and the sentence never has it in it."""

from __future__ import annotations

import pytest

from peft_studio.core.redact import Secret, judge_key, recognise_key
from peft_studio.core.redact.shapes import SHAPES

ALNUM, HEX = "aB3dEf7h9J" * 8, "0123456789abcdef" * 4
# key, its platform, what it is, the outcome when it is given to its own platform
KEYS = [
    ("hf_" + ALNUM[:34], "huggingface", "Hugging Face token", "fits"),
    ("api_org_" + ALNUM[:34], "huggingface", "Hugging Face token of an organisation", "fits"),
    ("rpa_" + ALNUM[:42], "runpod", "RunPod key", "fits"),
    ("A1" * 20, "runpod", "RunPod key from before November 2024", "possible"),
    ("secret_my-laptop_" + HEX[:32] + "." + ALNUM[:32], "lambdalabs", "Lambda key", "fits"),
    (HEX, "vastai", "Vast.ai key", "possible"),
    (HEX, "together", "Together key of the older kind", "possible"),
    (HEX[:32], "civitai", "Civitai key", "possible"),
    ("civitai_" + ALNUM[:32], "civitai", "Civitai token of one hour", "fits"),
    (HEX[:40], "wandb", "Weights & Biases key", "possible"),
    ("local-" + HEX[:40], "wandb", "Weights & Biases key of an own server", "possible"),
    ("eyJhbGciOiJI.eyJzdWIiOiIx.dozjgNryP4J3jVmNHl0w", "phoenix", "signed token (JWT), as Phoenix has them", "fits"),
    (
        "eyJhbGciOiJI.eyJzdWIiOiIx.dozjgNryP4J3jVmNHl0w",
        "wandb",
        "signed token (JWT), as Weights & Biases has them",
        "fits",
    ),
    (ALNUM[:25], "comet", "Comet key", "possible"),
    (ALNUM[:25] + "*eyJiYXNlVXJsIjoieCJ9", "comet", "Comet key", "possible"),
    ("hh_" + ALNUM[:32], "honeyhive", "HoneyHive project key", "fits"),
    ("hh_ro_" + ALNUM[:32], "honeyhive", "HoneyHive read-only key", "fits"),
    ("hh_ingst_" + ALNUM[:24] + "_" + ALNUM[:64], "honeyhive", "HoneyHive ingestion key", "fits"),
    ("hh_fgdp_" + ALNUM[:24] + "_" + ALNUM[:64], "honeyhive", "HoneyHive data plane key", "fits"),
    ("pb_" + ALNUM[:22], "predibase", "Predibase token", "fits"),
    ("tgp_v1_" + ALNUM[:43], "together", "Together key", "fits"),
    ("ak-" + ALNUM[:22], "modal", "Modal token id", "fits"),
    ("as-" + ALNUM[:22], "modal", "Modal token secret", "fits"),
    ("r8_" + ALNUM[:37], "replicate", "Replicate token", "fits"),
    ("sk-proj-" + ALNUM[:40], "openai", "OpenAI key", "fits"),
    ("sk-ant-" + ALNUM[:40], "anthropic", "Anthropic key", "fits"),
    ("ghp_" + ALNUM[:36], "github", "GitHub token", "fits"),
    ("AKIA" + "ABCD" * 4, "aws", "AWS access key id", "fits"),
]

IDS = [kind for _, _, kind, _ in KEYS]


def test_every_shape_has_an_example() -> None:
    """A row that nothing matches proves nothing."""
    assert {kind for _, _, kind, _ in KEYS} == {shape.kind for shape in SHAPES}


@pytest.mark.parametrize(("key", "platform", "kind", "outcome"), KEYS, ids=IDS)
def test_recognises_each_kind(key: str, platform: str, kind: str, outcome: str) -> None:
    """It is among what the text could be, and its own platform is not told off for it."""
    assert kind in [shape.kind for shape in recognise_key(Secret(key))]
    assert judge_key(platform, key).outcome == outcome


@pytest.mark.parametrize(
    ("key", "platform", "kind"), [pytest.param(*row[:3], id=row[2]) for row in KEYS if row[3] == "fits"]
)
def test_a_marked_key_is_wrong_anywhere_else(key: str, platform: str, kind: str) -> None:
    """Whoever else it is given to, it is named before it is sent: no other platform learns it."""
    own = {shape.platform for shape in recognise_key(key)}
    for other in {shape.platform for shape in SHAPES} - own:
        verdict = judge_key(other, key)
        assert verdict.outcome == "wrong"
        assert "looks like" in verdict.sentence


def test_the_sentence_of_the_issue() -> None:
    """Word for word, and grammatical before a vowel."""
    assert "This looks like a Replicate token" in judge_key("huggingface", "r8_" + ALNUM[:37]).sentence
    assert "This looks like an OpenAI key" in judge_key("together", "sk-" + ALNUM[:40]).sentence


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hf_" + ALNUM[:34] + "\n", "line break at an end"),
        (" hf_" + ALNUM[:34], "space"),
        ("Bearer hf_" + ALNUM[:34], "Bearer"),
        ("HF_TOKEN=hf_" + ALNUM[:34], "assignment"),
        ("export HF_TOKEN=hf_" + ALNUM[:34], "assignment"),
        ('"hf_' + ALNUM[:34] + '"', "quotation"),
        ("hf_" + ALNUM[:10] + " " + ALNUM[:24], "inside"),
        ("hf_" + ALNUM[:10] + "\u200b" + ALNUM[:24], "invisible"),
        ("hf_" + ALNUM[:10] + "\r\nX-Other: 1", "line break"),
    ],
)
def test_mistakes_of_copying_are_named(text: str, says: str) -> None:
    """Each is wrong everywhere: sent as it is, it would fail with a riddle, or become a second header."""
    for platform in ("huggingface", "comet", "nobody"):
        verdict = judge_key(platform, text)
        assert verdict.outcome == "wrong"
        assert says in verdict.sentence


@pytest.mark.parametrize("key", ["something-new-and-unheard-of", "hf_short", "QUJDREVG=="])
def test_what_is_not_known_is_not_refused(key: str) -> None:
    """Vendors change their keys; a table must not lock anyone out."""
    assert recognise_key(key) == []
    assert judge_key("huggingface", key).outcome == "unknown"
    assert judge_key("ollama", key).outcome == "unknown"


@pytest.mark.parametrize("platform", ["huggingface", "vastai", "ollama", "nobody"])
@pytest.mark.parametrize(
    "text", [row[0] for row in KEYS] + ["x y", "FOO=hf_" + ALNUM[:34]], ids=[*IDS, "space", "assignment"]
)
def test_no_verdict_has_the_key_in_it(platform: str, text: str) -> None:
    """Not even eight signs of it in a row, once its mark is past."""
    sentence = judge_key(platform, text).sentence

    assert not [at for at in range(len(text[-20:]) - 7) if text[-20:][at : at + 8] in sentence]
