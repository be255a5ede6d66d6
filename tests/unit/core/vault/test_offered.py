"""Keys in the environment are seen and offered, and stay where they are until someone says yes."""

from __future__ import annotations

import pytest

from peft_studio.core.redact.shapes import SHAPES
from peft_studio.core.vault import Secret, find_offered
from peft_studio.core.vault.offered import VARIABLES, without_keys
from peft_studio.core.vault.vault import _NAME

KEY = "r8_" + "aB3dE" * 7 + "xy"


def test_offers_what_is_there_with_a_verdict_and_without_the_value() -> None:
    """A key in the wrong variable is named as what it is."""
    environment = {"HF_TOKEN": KEY, "REPLICATE_API_TOKEN": KEY, "WANDB_API_KEY": "", "PATH": "/bin", "OTHER_TOKEN": "x"}
    offered = find_offered(environment)

    assert [(offer.variable, offer.name, offer.verdict.outcome) for offer in offered] == [
        ("HF_TOKEN", "huggingface", "wrong"),
        ("REPLICATE_API_TOKEN", "replicate", "fits"),
    ]
    assert "Replicate token" in offered[0].verdict.sentence
    assert "aB3dE" not in repr(offered)
    assert offered[1].read(environment) == Secret(KEY)


def test_reads_the_real_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is when it is asked."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert find_offered() == []

    monkeypatch.setenv("HF_TOKEN", "hf_" + "aB3" * 12)
    (offer,) = find_offered()
    monkeypatch.setenv("HF_TOKEN", "changed since")

    assert offer.read() == Secret("changed since")


def test_every_variable_leads_to_a_platform_and_a_name() -> None:
    """Names that the vault takes; platforms of which a shape is known, but for Ollama, whose keys have none."""
    assert all(_NAME.fullmatch(name) for _, name in VARIABLES.values())
    assert {platform for platform, _ in VARIABLES.values()} - {shape.platform for shape in SHAPES} == {"ollama"}


def test_processes_of_ours_get_no_keys() -> None:
    """Training may have the hub's, a chat none; all else stays."""
    environment = {**dict.fromkeys(VARIABLES, KEY), "PATH": "/bin"}

    assert without_keys(environment) == {"PATH": "/bin", "HF_TOKEN": KEY, "HUGGING_FACE_HUB_TOKEN": KEY}
    assert without_keys(environment, keep=()) == {"PATH": "/bin"}
