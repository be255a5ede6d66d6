"""The Chat panel's words: what reaches the page, the Python it stands for, its picture, its settings."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio.core.chat import Reply
from peft_studio.core.errors import StudioError
from peft_studio.widgets._chat_choice import Choice, Slot, parse_setting
from peft_studio.widgets._chat_turns import Answer, TextStream, Turn, build_prompt
from peft_studio.widgets._chat_view import build_code, build_snapshot, view_turns

OPTIONS = {"max_new_tokens": 9, "temperature": 0.0, "top_p": 1.0, "seed": None}
HOSTILE = "<img src=x onerror='alert(1)'>\x1b[31m\u202egnp"


def build_turn(prompt: str = "yes", text: str = "no", *, name: str | None = None) -> Turn:
    """A turn with one answer."""
    reply = Reply(text, 2, 3, 40.0, 0.1, 0.2, 10**9, name, "end", None, switch_s=0.001)
    answer = Answer(2, 1, name or "", name, name or "Base model", prompt, state="done", text=text, reply=reply)
    return Turn(1, prompt, "base", OPTIONS, [answer])


def test_texts_arrive_as_they_grow() -> None:
    """Each call gives what was added, counted in the page's units; a full one gives all."""
    stream, answer = TextStream(), build_turn().answers[0]
    answer.text = "🦆 a"
    assert stream.read([answer], full=False) == [[2, 0, "🦆 a"]]
    answer.text += " b"
    assert stream.read([answer], full=False) == [[2, 4, " b"]]
    assert stream.read([answer], full=False) == []
    assert stream.read([answer], full=True) == [[2, 0, "🦆 a b"]]


def test_an_escape_sequence_in_two_pieces_is_taken_out() -> None:
    """The page ends with the cleaned text, whatever the pieces were."""
    stream, answer = TextStream(), build_turn().answers[0]
    page = ""
    for piece in ("a\x1b[", "31mb", "\u202e c", "😀"):
        answer.text = ("" if piece.startswith("a") else answer.text) + piece
        for _, at, text in stream.read([answer], full=False):
            page = page.encode("utf-16-le")[: 2 * at].decode("utf-16-le") + text
    assert page == "ab c😀"


def test_a_very_long_answer_is_cut() -> None:
    """A megabyte does not reach the page."""
    answer = build_turn().answers[0]
    answer.text = "x" * 1_000_000
    [[_, _, text]] = TextStream().read([answer], full=True)

    assert len(text) < 10_000


def test_remembered_turns_go_to_those_who_answered_them() -> None:
    """Each gets its own earlier answers; without any, the bare prompt."""
    turns = [build_turn("one", "two")]

    assert build_prompt(turns, "three", model="base", key="other") == "three"
    assert build_prompt(turns, "three", model="base", key="") == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]


def test_code_is_python_and_holds_hostile_text_as_a_literal(tmp_path: Path) -> None:
    """It parses, opens the adapter of the run, and asks what was asked."""
    choice = Choice(Studio(home=tmp_path))
    choice.model = "base"
    choice.slots = [Slot(1, None, True), Slot(2, "it's", True, run_id="r-20261122-203411-9f31ac")]
    turn = build_turn('a"\n' + HOSTILE, name="it's")
    turn.answers[0].key = "r-20261122-203411-9f31ac"
    code = build_code(tmp_path, choice, OPTIONS, turn)

    literals = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    assert turn.prompt in literals
    assert "studio.run('r-20261122-203411-9f31ac').adapter" in code
    assert "max_new_tokens=9" in code


def test_the_picture_is_escaped() -> None:
    """Prompt and answer are text in the saved notebook."""
    html = build_snapshot(build_turn(HOSTILE, HOSTILE))

    assert "<img" not in html
    assert html.count("&lt;img") == 2
    assert "\x1b" not in html
    assert build_snapshot(None) == ""


def test_controls_do_not_reach_the_page() -> None:
    """Escape sequences and direction overrides are taken out of prompts."""
    [turn] = view_turns([build_turn(HOSTILE)])

    assert turn["prompt"] == "<img src=x onerror='alert(1)'>gnp"


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [("max_new_tokens", " 64 ", 64), ("temperature", "0.7", 0.7), ("seed", "", None), ("seed", "7", 7), ("top_p", 1, 1.0)],
)  # fmt: skip
def test_settings_are_taken_as_typed(name: str, typed: object, value: object) -> None:
    """Numbers from text; an empty seed is none."""
    assert parse_setting(name, typed) == value


@pytest.mark.parametrize(
    ("name", "typed"), [("max_new_tokens", "0"), ("max_new_tokens", "many"), ("temperature", "nan"), ("top_p", "1.5")]
)
def test_bad_settings_are_refused_with_the_range(name: str, typed: str) -> None:
    """The refusal names the setting and says what may be given."""
    with pytest.raises(StudioError) as caught:
        parse_setting(name, typed)
    assert name in caught.value.message
    assert "from" in caught.value.hint
