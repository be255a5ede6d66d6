"""What can be asked: a text, or a conversation as a list of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Prompt = str | Sequence[Mapping[str, Any]]


def build_prompt(prompt: Prompt) -> str | list[dict[str, Any]]:
    """The prompt as JSON knows it."""
    return prompt if isinstance(prompt, str) else [dict(message) for message in prompt]
