"""A plan's own name, which makes a repeat known, and what is blocked by what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from peft_studio.core.services.publish.contents import text_file
from peft_studio.core.services.publish.parity import check_prompts
from peft_studio.core.services.publish.plan import PushPlan

PLAN = PushPlan(
    to="hub", title="The Hub", repo="me/x", private=True, local=False, files=(text_file("a", "1"), text_file("b", "2")),
    left_out={}, settings={"from": "tiny"}, run_id="r-1",
)  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "other"}, {"repo": "me/y"}, {"private": False}, {"settings": {"from": "large"}}, {"files": PLAN.files[:1]},
        {"files": (text_file("a", "1"), text_file("b", "3"))}, {"files": (text_file("a", "1"), text_file("c", "2"))},
    ],
    ids=str,
)  # fmt: skip
def test_another_push_has_another_id(changes: dict[str, Any]) -> None:
    """Else one of two would be taken for a repeat of the other: in the outbox, in the record, over there."""
    assert replace(PLAN, **changes).id != PLAN.id


def test_the_same_push_has_the_same_id() -> None:
    """Whatever the order of its files, and whoever made the plan."""
    assert replace(PLAN, files=PLAN.files[::-1], run_id="r-2", title="Hub").id == PLAN.id


@pytest.mark.parametrize(
    ("prompts", "merged", "found"),
    [([], True, ["blocking"]), ([], False, ["warning"]), (["a"], True, []), (["a"], False, [])],
)
def test_a_merged_model_needs_answers(prompts: list[str], merged: bool, found: list[str]) -> None:
    """An adapter that nobody compares deserves a word; a merged model that nobody compares is not offered."""
    assert [one.severity for one in check_prompts(prompts, merged=merged)] == found
