"""What is said of the answers before and after."""

from __future__ import annotations

import io
import json

from peft_studio.cli.before_after import Answered, say_comparison
from peft_studio.cli.terminal import Terminal
from peft_studio.quickstart import HeldOut, prompts


def said_of(answered: list[Answered]) -> str:
    out = io.StringIO()
    say_comparison(answered, Terminal(out))
    return out.getvalue()


def right(asked: HeldOut) -> str:
    """The right record, spaced otherwise and with its fields in another order."""
    return json.dumps(dict(reversed(json.loads(asked.answer).items())), indent=2)


def test_counts_exact_records() -> None:
    """The same record counts whatever its spacing and order; one wrong field, prose or half a record does not."""
    held_out = prompts()[:4]
    answered = [
        Answered(held_out[0], "Sure! Here is the JSON.", right(held_out[0])),
        Answered(held_out[1], right(held_out[1]), right(held_out[1])),
        Answered(held_out[2], "", right(held_out[2]).replace("quantity", "amount")),
        Answered(held_out[3], held_out[3].answer[:-1], held_out[3].answer + " and more"),
    ]

    said = said_of(answered)

    assert "base model     1 of 4" in said
    assert "tuned model    2 of 4" in said


def test_a_wrong_answer_is_shown_with_the_right_one() -> None:
    """Mistakes of the tuned model are not hidden: one stands among the examples, with what would have been right."""
    held_out = prompts()[:5]
    answered = [Answered(asked, "?", right(asked)) for asked in held_out[:4]]
    answered.append(Answered(held_out[4], "?", '{"customer": "Nobody"}'))

    said = said_of(answered)

    assert said.count("  order   ") == 3
    assert '{"customer": "Nobody"}   (not exact)' in said
    assert held_out[4].answer in said


def test_hostile_answers_stay_text() -> None:
    """A model may say anything; what a terminal would obey is taken out, and long answers are cut."""
    answered = [Answered(prompts()[0], "\x1b[2J" + "x" * 5000, "\x1b]0;owned\x07\n\n")]

    said = said_of(answered)

    assert "\x1b" not in said
    assert "\x07" not in said
    assert len(said) < 2000
