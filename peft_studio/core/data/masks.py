"""Which characters of a rendered conversation are the assistant's: the part a model is trained on.

Four ways, from the surest down; each proves itself on the row at hand, and when none can, that is said and not
guessed. Knows templates, not tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from peft_studio.core.data.example import ASSISTANT, Example, Message
from peft_studio.core.data.template import CLOSE_MARK, OPEN_MARK, ChatTemplate
from peft_studio.core.errors import DataError

BY_TAGS, BY_TURNS, BY_OPENINGS, BY_CONTENT, WHOLE = "generation-tags", "turns", "openings", "content", "whole"
_MARKS = re.compile(f"[{OPEN_MARK}{CLOSE_MARK}]")
_HOLE = "\ufdd2{}\ufdd3"  # noncharacters, see OPEN_MARK
_HOLES = re.compile("\ufdd2[0-9]+\ufdd3")


class Rendered(NamedTuple):
    """A conversation as text, the character spans ``[start, end)`` to learn, and how they were found."""

    text: str
    spans: tuple[tuple[int, int], ...]
    masked_by: str


def render_with_spans(template: ChatTemplate, example: Example, *, stops: Sequence[str]) -> Rendered:
    """Render a conversation and find what the assistant says in it, each turn up to and with its stop token.

    ``stops`` are the texts of the tokens that end a turn. White space that the template puts after them is not learnt.

    Raises:
        DataError: The template refuses the conversation.
    """
    messages, tools = example.messages or (), example.tools
    if template.marks_answers:
        return _from_marks(template.render(messages, tools=tools, marked=True))
    text = template.render(messages, tools=tools)
    if not any(message.role == ASSISTANT for message in messages):
        return Rendered(text, (), BY_TURNS)
    for find, how in ((_by_turns, BY_TURNS), (_by_openings, BY_OPENINGS), (_by_content, BY_CONTENT)):
        spans = find(template, example, text=text, stops=stops)
        if spans is not None:
            return Rendered(text, spans, how)
    return Rendered(text, ((0, len(text)),), WHOLE)


def _from_marks(marked: str) -> Rendered:
    pieces, spans, at, start = [], [], 0, 0
    for piece, mark in zip(_MARKS.split(marked), [*_MARKS.findall(marked), ""], strict=True):
        pieces.append(piece)
        at += len(piece)
        if mark == OPEN_MARK:
            start = at
        elif mark == CLOSE_MARK and at > start:
            spans.append((start, at))
    return Rendered("".join(pieces), tuple(spans), BY_TAGS)


def _by_turns(
    template: ChatTemplate, example: Example, *, text: str, stops: Sequence[str]
) -> tuple[tuple[int, int], ...] | None:
    """From the end of the rendering up to a turn, opened, to that of the one with it. None if these are no prefixes."""
    messages, tools = example.messages or (), example.tools
    spans = []
    for index, message in enumerate(messages):
        if message.role != ASSISTANT:
            continue
        last = index == len(messages) - 1
        try:
            before = template.render(messages[:index], tools=tools, prompt=True)
            after = text if last else template.render(messages[: index + 1], tools=tools)
        except DataError:
            return None  # a template may refuse a part of a conversation that it accepts whole
        if not (after.startswith(before) and text.startswith(after)):
            return None
        spans.append(_to_stop(text, len(before), end=len(after), stops=stops))
    return tuple(spans)


def _to_stop(text: str, start: int, *, end: int, stops: Sequence[str]) -> tuple[int, int]:
    """Shorten a span so that it ends with its stop token, when only white space follows that."""
    trimmed = start + len(text[start:end].rstrip())
    return (start, trimmed if any(text.endswith(stop, start, trimmed) for stop in stops) else end)


def _by_openings(
    template: ChatTemplate, example: Example, *, text: str, stops: Sequence[str]
) -> tuple[tuple[int, int], ...] | None:
    """From each opening of an assistant turn to the first stop token after it.

    For templates that render an earlier turn differently once another follows (Qwen 3 and DeepSeek drop old
    reasoning). None unless there are as many openings as answers, no turn's own text holds an opening or a stop, and
    each answer stands where it is looked for.
    """
    messages = example.messages or ()
    answers = [_after_reasoning(message.content) for message in messages if message.role == ASSISTANT]
    opening = _opening(template, example, text=text, answers=len(answers))
    if not opening or any(mark in message.content for message in messages for mark in (opening, *stops)):
        return None
    spans, at = [], 0
    for answer in answers:
        start = text.index(opening, at) + len(opening)
        found = [(place, stop) for stop in stops if (place := text.find(stop, start)) >= 0]
        if not found:
            return None
        place, stop = min(found)
        if answer not in text[start:place] or opening in text[start:place]:
            return None
        at = place + len(stop)
        spans.append((start, at))
    return tuple(spans)


def _opening(template: ChatTemplate, example: Example, *, text: str, answers: int) -> str:
    """What opens an assistant turn, if the text has it once an answer; '' otherwise."""
    messages = example.messages or ()
    before = messages[: next(index for index, message in enumerate(messages) if message.role == ASSISTANT)]
    try:
        closed = template.render(before, tools=example.tools)
        opened = template.render(before, tools=example.tools, prompt=True)
    except DataError:
        return ""
    opening = opened[len(closed) :] if opened.startswith(closed) else ""
    # Reasoning models are made to think by an opening that goes on with <think>; turns of old do not have it.
    candidates = (opening, opening.split("<think>")[0])
    return next((o for o in candidates if o.strip() and text.count(o) == answers), "")


def _after_reasoning(content: str) -> str:
    return content.rsplit("</think>", 1)[-1].strip()


def _by_content(
    template: ChatTemplate, example: Example, *, text: str, stops: Sequence[str]
) -> tuple[tuple[int, int], ...] | None:
    """Where the answers stand, found by rendering with holes in their place and fitting the frame over the text.

    For templates whose openings cannot be told apart. None unless every answer is found unchanged, or stripped,
    between the pieces of the frame.
    """
    messages = example.messages or ()
    answers = [index for index, message in enumerate(messages) if message.role == ASSISTANT]
    if any(not messages[index].content.strip() or messages[index].extra for index in answers):
        return None
    holed = [
        Message(message.role, _HOLE.format(index), message.extra) if index in answers else message
        for index, message in enumerate(messages)
    ]
    try:
        frame = template.render(holed, tools=example.tools)
    except DataError:
        return None
    pieces = _HOLES.split(frame)
    if len(pieces) != len(answers) + 1:
        return None
    spans, at = [], 0
    for number, index in enumerate(answers):
        start = at + len(pieces[number])
        content = next(
            (c for c in _shapes(messages[index].content) if text.startswith(c + pieces[number + 1], start)), None
        )
        if content is None or not text.startswith(pieces[number], at):
            return None
        at = start + len(content)
        tail = pieces[number + 1]
        lead = len(tail) - len(tail.lstrip())
        stop = next((stop for stop in stops if tail.startswith(stop, lead)), None)
        spans.append((start, at + lead + len(stop) if stop else at))
    return tuple(spans) if at + len(pieces[-1]) == len(text) else None


def _shapes(content: str) -> tuple[str, ...]:
    """How templates put an answer: as it is, or stripped on one side or both."""
    return (content, content.strip(), content.lstrip(), content.rstrip())
