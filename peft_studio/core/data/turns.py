"""Reads the turns of a conversation, as chat files and ShareGPT files write them, into messages.

Owns the names that roles go by. What it changes on the way it notes; what it cannot read it refuses with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from peft_studio.core.data.example import ASSISTANT, Message

# Spellings met in public data sets (ShareGPT, OpenAssistant, Vicuna, Gemini exports) → the word chat templates know.
ROLES = {
    "human": "user", "prompter": "user", "gpt": ASSISTANT, "bot": ASSISTANT, "chatgpt": ASSISTANT, "bard": ASSISTANT,
    "model": ASSISTANT, "ai": ASSISTANT, "observation": "tool", "function_response": "tool", "tool_response": "tool",
    "function_call": ASSISTANT, "tool_call": ASSISTANT,
    **{role: role for role in ("system", "user", ASSISTANT, "tool", "developer", "function", "ipython")},
}  # fmt: skip
NUMBER_AS_TEXT, PARTS_JOINED, ROLE_RENAMED = "number-as-text", "parts-joined", "role-renamed"


class Unreadable(Exception):
    """Why a value cannot be read. Internal: the builder adds the row and raises RowMisfit."""


def read_text(value: Any, *, what: str, notes: set[str]) -> str:
    """A text field: a string, or a number written out (noted)."""
    if isinstance(value, str):
        if not value.isascii() and _has_lone_surrogate(value):
            raise Unreadable(f"{what} has half a surrogate pair, which is no character")
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        notes.add(NUMBER_AS_TEXT)
        return str(value)
    raise Unreadable(f"{what} is {_kind(value)}, not text")


def read_turns(value: Any, *, what: str, notes: set[str]) -> tuple[Message, ...]:
    """A list of turns, written as role/content or as from/value; a JSON string of such a list is read too."""
    turns = _from_json(value, what)
    if not isinstance(turns, list | tuple):
        raise Unreadable(f"{what} is {_kind(turns)}, not a list of turns")
    if not turns:
        raise Unreadable(f"{what} has no turns")
    return tuple(_read_turn(turn, what=f"turn {index} of {what}", notes=notes) for index, turn in enumerate(turns))


def read_tools(value: Any, *, what: str) -> tuple[Any, ...] | None:
    """Tool descriptions: a list of JSON schemas, or a JSON string of one. None when there are none."""
    tools = _from_json(value, what) if value not in (None, "") else None
    if not tools:
        return None
    if not isinstance(tools, list | tuple) or not all(isinstance(tool, Mapping) for tool in tools):
        raise Unreadable(f"{what} is not a list of tool descriptions")
    return tuple(plain(tool) for tool in tools)


def plain(value: Any) -> Any:
    """The value made of JSON types only: templates come from strangers and must not meet objects with methods."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping):
        # Parquet fills every field that any row has; an absent field must read as absent.
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)


def _read_turn(turn: Any, *, what: str, notes: set[str]) -> Message:
    if not isinstance(turn, Mapping):
        raise Unreadable(f"{what} is {_kind(turn)}, not an object with role and content")
    role_key, content_key = ("role", "content") if "role" in turn else ("from", "value")
    role = turn.get(role_key)
    known = ROLES.get(role.strip().lower()) if isinstance(role, str) else None
    if known is None:
        raise Unreadable(f"{what} has the role {role!r}, which is none of {', '.join(sorted(set(ROLES.values())))}")
    if known != role and role_key == "role":
        notes.add(ROLE_RENAMED)
    extra = {str(k): plain(v) for k, v in turn.items() if k not in (role_key, content_key) and v is not None}
    content = turn.get(content_key)
    if content is None and extra.get("tool_calls"):
        return Message(known, "", extra)
    if isinstance(content, list | tuple):
        content = _join_parts(content, what=what, notes=notes)
    text = read_text(content, what=f"the content of {what}", notes=notes)
    if role in ("function_call", "tool_call"):
        return Message(known, "", {**extra, "tool_calls": [_read_call(text, what)]})
    return Message(known, text, extra)


def _join_parts(parts: list[Any] | tuple[Any, ...], *, what: str, notes: set[str]) -> str:
    texts = []
    for part in parts:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        if kind != "text" or not isinstance(text, str):
            raise Unreadable(f"{what} has a part of type {kind!r}; only text can be trained")
        texts.append(text)
    notes.add(PARTS_JOINED)
    return "".join(texts)


def _read_call(text: str, what: str) -> dict[str, Any]:
    call = _from_json(text, what)
    if not isinstance(call, Mapping) or "name" not in call:
        raise Unreadable(f"{what} is a call without a name")
    return {"type": "function", "function": plain(call)}


def _from_json(value: Any, what: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as exc:
        raise Unreadable(f"{what} is text that is not JSON") from exc


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number", str: "text"}
    return names.get(type(value), type(value).__name__)
