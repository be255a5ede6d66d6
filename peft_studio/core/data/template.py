"""Renders a model's chat template exactly as transformers' ``apply_chat_template`` does, in a sandbox and without it.

Templates come from strangers: they see plain JSON types only, in Jinja's immutable sandbox. Knows nothing of tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Environment, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from peft_studio.core.data.example import Message
from peft_studio.core.errors import DataError, ModelError

# ChatML, ending each turn with the model's own EOS token, so that a model without a template learns to stop with a
# token that it already has. The generation tags say exactly which part is the answer.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Unicode noncharacters: they never stand in text that is meant to be exchanged, so they can mark places in it.
OPEN_MARK, CLOSE_MARK = "\ufdd0", "\ufdd1"

# What a template may raise on a row: its own raise_exception, the sandbox's refusals, and what Python makes of odd
# values.
_RENDER_ERRORS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
_REASONING = (
    "reasoning_content",
    "thinking",
    "reasoning",
)  # transformers 5 gives templates a turn's reasoning by each name


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template and where it was found. ``tool_source`` is used instead when a row has tools and it is there."""

    source: str
    found_in: str
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    tool_source: str | None = None

    @property
    def marks_answers(self) -> bool:
        """Whether the template says itself what the model generates, with ``{% generation %}``."""
        return _has_generation_tag(self.source)

    def render(
        self, messages: Sequence[Message], *, tools: Sequence[Any] | None, prompt: bool = False, marked: bool = False
    ) -> str:
        """The conversation as one string.

        Args:
            messages: The turns.
            tools: Tool descriptions, or None.
            prompt: End with the opening of an assistant turn (``add_generation_prompt``).
            marked: Put OPEN_MARK and CLOSE_MARK around what stands in ``{% generation %}``.

        Raises:
            DataError: The template refuses this conversation, or fails on it.
            ModelError: The template is no valid Jinja.
        """
        source = self.tool_source if tools and self.tool_source else self.source
        template = _compile(source, marked)
        try:
            return template.render(
                **self.special_tokens,
                messages=[_with_reasoning(message.to_dict()) for message in messages],
                tools=list(tools) if tools else None,
                documents=None,
                add_generation_prompt=prompt,
            )
        except _RENDER_ERRORS as exc:
            raise DataError(
                f"The chat template refuses this conversation: {exc}.",
                hint="Change the order or the roles of the turns to what the template accepts, or leave the row out.",
            ) from exc


def _with_reasoning(turn: dict[str, Any]) -> dict[str, Any]:
    reasoning = next((turn[key] for key in _REASONING if turn.get(key) is not None), None)
    return turn if reasoning is None else {"thinking": reasoning, **turn, "reasoning_content": reasoning}


class _Generation(Extension):
    """``{% generation %}…{% endgeneration %}``: what stands inside is what the model says."""

    tags = {"generation"}  # noqa: RUF012 - the name and shape Jinja asks for
    marked = False

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_wrap"), [], [], body).set_lineno(line)

    def _wrap(self, caller: Macro) -> str:
        inside = caller()
        return f"{OPEN_MARK}{inside}{CLOSE_MARK}" if self.marked else str(inside)


class _MarkedGeneration(_Generation):
    marked = True


def _environment(*, marked: bool) -> Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_MarkedGeneration if marked else _Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    # Jinja's own filter escapes HTML, which no model was trained on.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(layout: str) -> str:
    return datetime.now().strftime(layout)


@lru_cache(maxsize=64)
def _compile(source: str, marked: bool) -> Template:
    try:
        return _environment(marked=marked).from_string(source)
    except TemplateSyntaxError as exc:
        raise ModelError(
            f"The model's chat template is not valid Jinja (line {exc.lineno}): {exc.message}.",
            hint="Put a corrected chat_template.jinja into the model's folder; it takes precedence.",
        ) from exc


@lru_cache(maxsize=64)
def _has_generation_tag(source: str) -> bool:
    return re.search(r"\{%[-+]?\s*generation\s*[-+]?%\}", source) is not None
