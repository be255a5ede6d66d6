"""The card of a run: what it says, that it invents nothing, and that no name in it becomes markup or YAML."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import mistune
import pytest
import yaml

from peft_studio import Studio
from peft_studio.core.services.publish.card import build_card
from peft_studio.core.services.publish.facts import RunFacts, read_facts
from peft_studio.core.services.publish.safe_text import code, front_matter, prose
from tests.made_run import RUN_ID, write_made_run

SNAPSHOT = Path(__file__).with_name("card.md")
HOSTILE = 'x"\n---\nlicense: mit\n# [a](javascript:b) <img src=x onerror=y> | `rm` ‮ @all www.evil.example'


@pytest.fixture
def facts(tmp_path: Path) -> RunFacts:
    write_made_run(tmp_path)
    return read_facts(Studio(home=tmp_path).run(RUN_ID))


def head_of(card: str) -> dict[str, Any]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_the_whole_card_as_it_is(facts: RunFacts) -> None:
    """As in card.md; a change of the card shows there."""
    assert build_card(facts, "me/x") == SNAPSHOT.read_text(encoding="utf-8")


def test_what_is_not_known_is_a_dash(facts: RunFacts) -> None:
    """No plan, no metrics, no evaluation, no versions, no licence, no base: nothing is made up for them."""
    bare = dataclasses.replace(
        facts, plan=None, steps=None, first_loss=None, last_loss=None, evaluations=(), environment={}, trained_s=None, peak_bytes=None,
        tokens=None, base_id=None, base_licence=None,
        spec=facts.spec.model_copy(update={"basis": type(facts.spec.basis)()}),
    )  # fmt: skip
    card = build_card(bare, "me/x")

    for name in (
        "trained on",
        "held out",
        "steps",
        "epochs",
        "trainable parameters",
        "hardware",
        "precision",
        "time",
        "peak memory",
        "tokens",
    ):
        assert f"| {name} | — |" in card
    assert "| loss on held-out rows | — | — | — |" in card
    assert "Licence: not known" in card
    assert head_of(card).keys() == {"library_name", "pipeline_tag", "tags"}
    assert "None" not in card
    assert "nan" not in card


@pytest.mark.parametrize(
    ("licence", "head"),
    [("apache-2.0", {"license": "apache-2.0"}), ("my-terms", {"license": "other", "license_name": "my-terms"})],
)
def test_a_licence_the_hub_does_not_list_is_other(facts: RunFacts, licence: str, head: dict[str, str]) -> None:
    """With its own name beside it."""
    found = head_of(build_card(dataclasses.replace(facts, base_licence=licence), "me/x"))
    assert {name: found[name] for name in found if name.startswith("license")} == head


def test_only_a_public_data_set_is_named(facts: RunFacts) -> None:
    """A hub id is; a file's name is not."""
    assert "orders.jsonl" not in build_card(facts, "me/x")
    public = dataclasses.replace(facts, data_id="org/orders")
    assert head_of(build_card(public, "me/x"))["datasets"] == ["org/orders"]


def test_hostile_names_stay_names(facts: RunFacts) -> None:
    """In every place where a stranger's text stands: the head keeps its keys, no line is a heading, a link, a tag or a table of theirs."""
    spec = facts.spec.model_copy(update={"target_modules": (HOSTILE,)})
    mean = dataclasses.replace(
        facts, name=HOSTILE, base_id=HOSTILE, base_licence=HOSTILE, data_id=HOSTILE, spec=spec,
        environment={"python": HOSTILE, "torch": HOSTILE},
    )  # fmt: skip
    card, plain = build_card(mean, "me/x"), build_card(dataclasses.replace(facts, data_id="org/orders"), "me/x")

    assert head_of(card).keys() - {"license_name"} == head_of(plain).keys()
    assert head_of(card)["license"] == "other"
    assert "‮" not in card
    body = card.split("---\n", 2)[2]
    assert [line for line in body.splitlines() if line.startswith("## ")] == [
        line for line in plain.splitlines() if line.startswith("## ")
    ]
    assert len([line for line in body.splitlines() if line.startswith("# ")]) == 1
    page = mistune.create_markdown(escape=False, plugins=["table", "url"])(body)
    assert isinstance(page, str)
    for markup in ("<a ", "<img"):
        assert markup not in page
    assert page.count("<table>") == 4


@pytest.mark.parametrize(
    "text", ["no", "2026-11-26", "a: b", "- x", "'", '"', "#c", "&a", "*a", "!!python/object:x", "\\", "é…", "x\ny"]
)
def test_yaml_gives_back_what_went_in(text: str) -> None:
    """As text, never as a date, a boolean, an anchor or a tag."""
    head = front_matter({"a": text, "b": [text, text], "c": None, "d": []})
    assert yaml.safe_load(head.strip("-\n")) == {"a": text, "b": [text, text]}


def test_code_holds_backticks_and_pipes() -> None:
    """A longer fence for each, and no cell ends early."""
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert code("a|b") == r"`a\|b`"
    assert code("") == "` `"
    assert prose("a_b*c") == r"a\_b\*c"
