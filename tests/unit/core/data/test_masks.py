from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio.core.data.example import Example, Message
from peft_studio.core.data.masks import Rendered, render_with_spans
from peft_studio.core.data.template import ChatTemplate

HEAD = "{% for m in messages %}"
TAIL = "{% endfor %}{% if add_generation_prompt %}<A>{% endif %}"
PLAIN = HEAD + "{{ '<A>' if m.role == 'assistant' else '<U>' }}{{ m.content }}<E>\n" + TAIL
TAGGED = HEAD + "{% if m.role == 'assistant' %}<A>{% generation %}{{ m.content }}<E>{% endgeneration %}{% else %}<U>{{ m.content }}<E>{% endif %}\n" + TAIL  # fmt: skip
# As Qwen 3: only the last turn shows (and is opened with) its reasoning.
FORGETFUL = (
    HEAD
    + "{% if m.role == 'assistant' %}<A>{% if loop.last %}<think>{% endif %}{{ m.content.split('</think>')[-1] }}<E>\n"
    "{% else %}<U>{{ m.content }}<E>\n{% endif %}" + TAIL
)
# No generation prompt at all, and the first turn is written another way once a second follows.
NO_PROMPT = HEAD + "{{ '' if loop.last else '-' }}{{ m.role }}: {{ m.content | trim }}<E>\n{% endfor %}"
# Answers in capitals: nothing in the text can be matched with the row.
SHOUTING = HEAD + "{{ '' if loop.last else '-' }}{{ m.content | upper }}<E>\n{% endfor %}"


def find(source: str, *said: str, stops: tuple[str, ...] = ("<E>",)) -> Rendered:
    messages = tuple(Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(said))
    return render_with_spans(ChatTemplate(source, "test"), Example(0, "chat", messages=messages), stops=stops)


def learnt(found: Rendered) -> list[str]:
    return [found.text[start:end] for start, end in found.spans]


@pytest.mark.parametrize(
    ("source", "how"),
    [(TAGGED, "generation-tags"), (PLAIN, "turns"), (FORGETFUL, "openings"), (NO_PROMPT, "content")],
)
def test_each_way_finds_every_answer_through_its_stop(source: str, how: str) -> None:
    """Two turns of two, equal texts on both sides, white space inside: the answers and their stop tokens, nothing else."""
    for said in (("q1", "a1", "q2", "a2"), ("x", "x", "x", "x"), ("q", "one\n\ntwo", "q", "three")):
        found = find(source, *said)
        assert found.masked_by == how
        assert [text.removeprefix("<think>") for text in learnt(found)] == [f"{said[1]}<E>", f"{said[3]}<E>"]


def test_what_a_reasoning_template_adds_is_learnt() -> None:
    """The last turn is learnt from its opening on, since that is what the model has to write itself."""
    found = find(FORGETFUL, "q1", "hm</think>a1", "q2", "a2")
    assert learnt(found) == ["a1<E>", "<think>a2<E>"]


def test_the_white_space_after_the_stop_is_not_learnt() -> None:
    """The line end that a template sets after its stop token is never generated, so it is not trained."""
    assert learnt(find(PLAIN, "q", "a\n")) == ["a\n<E>"]


def test_without_a_stop_token_the_whole_turn_is_learnt() -> None:
    """A template that ends turns with a line end alone keeps it: it is what ends the turn."""
    assert learnt(find(PLAIN.replace("<E>", ""), "q", "a")) == ["a\n"]


def test_stop_tokens_in_a_question_do_not_confuse() -> None:
    """Text that looks like the template's own marks moves no border, or everything is said to be learnt."""
    for source in (TAGGED, PLAIN):
        assert learnt(find(source, "q<E>\n<A>evil<E>", "a<E>b")) == ["a<E>b<E>"]
    found = find(FORGETFUL, "q<A>", "a", "q", "b")
    assert (found.masked_by, learnt(found)) == ("content", ["a<E>", "b<E>"])


def test_what_cannot_be_found_is_said_and_not_guessed() -> None:
    """A template that changes the answers leaves no way to find them: everything, and it says so."""
    found = find(SHOUTING, "q", "a", "q", "b")
    assert (found.masked_by, found.spans) == ("whole", ((0, len(found.text)),))


def test_nothing_is_learnt_where_nobody_answers() -> None:
    """A conversation without an assistant turn has no span, rather than all of it."""
    assert find(PLAIN, "q").spans == ()


@pytest.mark.slow
def test_agrees_with_the_training_templates_of_trl() -> None:
    """trl keeps, beside many models' own templates, twins with generation tags. On the model's own, without tags, we must find
    the answers that the twin marks (but for the borders where trl chose otherwise: white space, openings)."""
    trl = pytest.importorskip("trl")
    folder = Path(trl.__file__).parent / "chat_templates"
    specials = {"bos_token": "<s>", "eos_token": "</s>"}
    stops = (
        "<|im_end|>",
        "</s>",
        "<|eot_id|>",
        "<end_of_turn>",
        "<|end|>",
        "<|END_OF_TURN_TOKEN|>",
        "<turn|>",
        "<|return|>",
        "<|eot|>",
    )
    messages = tuple(
        Message(role, text) for role, text in [("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2")]
    )
    agreed = 0
    for path in sorted(folder.glob("*_training.jinja")):
        own = path.with_name(path.name.replace("_training", ""))
        found = []
        for one in (own, path):
            template = ChatTemplate(one.read_text(encoding="utf-8"), one.name, specials)
            if own.name.startswith(("llava", "idefics", "smolvlm")):
                break  # take parts, not text
            found.append(
                render_with_spans(
                    template, Example(0, "chat", messages=messages), stops=(*stops, "<｜end▁of▁sentence｜>")
                )
            )
        if len(found) < 2:
            continue
        ours, twin = ("".join(learnt(one)) for one in found)
        assert found[0].masked_by != "whole", own.name
        assert "q1" not in ours, own.name
        assert "q2" not in ours, own.name
        for answer in ("a1", "a2"):
            assert answer in ours, own.name
            assert answer in twin, own.name
        agreed += 1
    assert agreed > 20
