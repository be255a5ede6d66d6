"""The Chat panel as plain JSON, as Python that does the same, and as the table that a saved notebook keeps."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from peft_studio.core.errors import StudioError
from peft_studio.core.models.catalog import find_embedded
from peft_studio.widgets._chat_choice import Choice, Slot
from peft_studio.widgets._chat_line import Line
from peft_studio.widgets._chat_turns import SHOWN, Answer, Turn
from peft_studio.widgets._code import opening
from peft_studio.widgets._text import plain

_NAME = 200  # characters
_FONT = "font:13px/20px var(--jp-ui-font-family,system-ui,sans-serif)"
_MUTED = "color:var(--jp-ui-font-color2,#616161);font-size:12px"
_BORDER = "1px solid var(--jp-border-color2,#e0e0e0)"
_IN_PICTURE = 2000  # characters of a text in a saved notebook


def model_title(model: str) -> str:
    """What a person calls a base: its own name for an embedded one, the folder's name for a path."""
    embedded = find_embedded(model)
    if embedded:
        return embedded.title
    return plain(Path(model).name if Path(model).is_absolute() else model, limit=_NAME)


def view_setup(choice: Choice) -> dict[str, Any]:
    """The base, what else could be chosen, and who may be asked."""
    there = {slot.run_id for slot in choice.slots}
    return {
        "model": choice.model,
        "title": model_title(choice.model) if choice.model else None,
        "models": [{"value": plain(model), "title": model_title(model)} for model in choice.models()],
        "slots": [_slot(slot) for slot in choice.slots],
        "offered": [
            {"value": row.id, "title": plain(f"{row.name or row.id}, {row.method}", limit=_NAME)}
            for row in choice.offered()
            if row.id not in there
        ],
    }


def _slot(slot: Slot) -> dict[str, Any]:
    return {
        "number": slot.number,
        "title": plain(slot.title, limit=_NAME),
        "detail": slot.detail,
        "from": plain(slot.run_id or str(slot.path or ""), limit=_NAME),
        "on": slot.on,
        "doubt": plain(slot.doubt[:1].upper() + slot.doubt[1:]),
    }


def view_process(line: Line) -> dict[str, Any]:
    """Whether the base is loaded, for how long it has been loading, and what it takes."""
    opening_s, facts = line.opening_s, line.facts
    return {
        "state": line.state,
        "opening_s": None if opening_s is None else int(opening_s),  # whole seconds: sent once a second
        "load_s": line.load_s,
        "loads": line.loads,
        "memory_bytes": facts.get("memory_bytes"),
        "resident": len(facts.get("adapters", ())),
        "fast_switch": facts.get("fast_switch"),
        "precision": facts.get("quantization") or facts.get("precision"),
        "device": facts.get("device"),
        "note": plain(str(facts.get("note") or "")),
    }


def view_turns(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """The conversation without the answers' text, which is a stream."""
    return [
        {
            "number": turn.number,
            "prompt": plain(turn.prompt, limit=SHOWN),
            "model": model_title(turn.model),
            "greedy": not turn.options["temperature"],
            "answers": [_answer(answer) for answer in turn.answers],
            "problem": _problem(turn.problem),
        }
        for turn in turns
    ]


def _answer(answer: Answer) -> dict[str, Any]:
    reply = answer.reply
    return {
        "number": answer.number,
        "slot": answer.slot,
        "title": plain(answer.title, limit=_NAME),
        "base": answer.name is None,
        "state": answer.state,
        "ended": reply.ended if reply else None,
        "tokens": reply.tokens if reply else None,
        "tokens_per_s": reply.tokens_per_s if reply else None,
        "first_token_s": reply.first_token_s if reply else None,
        "memory_bytes": reply.memory_bytes if reply else None,
        "switch_s": reply.switch_s if reply else None,
        "problem": _problem(answer.problem),
    }


def _problem(problem: StudioError | None) -> dict[str, str] | None:
    return None if problem is None else {"message": plain(problem.message), "hint": plain(problem.hint)}


def build_code(home: Path, choice: Choice, options: dict[str, Any], turn: Turn | None) -> str:
    """Python that opens the same chat and asks what was asked last."""
    if choice.model is None:
        return ""
    # What was asked last on this base, else who would be asked.
    asked = turn if turn is not None and turn.model == choice.model else None
    keys = {answer.key for answer in asked.answers} if asked else {slot.key for slot in choice.slots if slot.on}
    slots = [slot for slot in choice.slots if slot.key in keys and slot.name is not None]
    first, *lines = _open_lines(choice.model, slots)
    lines = [opening(home) + first, *lines]
    if asked:
        given = ", ".join(f"{name}={value!r}" for name, value in asked.options.items() if value is not None)
        same = all(answer.sent == asked.prompt for answer in asked.answers)
        lines += [f"prompt = {asked.prompt!r}"] if same else []
        for answer in asked.answers:
            adapter = f", adapter={answer.name!r}" if answer.name else ""
            lines.append(f"print(chat.ask({'prompt' if same else repr(answer.sent)}{adapter}, {given}))")
        lines.append("chat.close()")
    return "\n".join(lines)


def _open_lines(model: str, slots: list[Slot]) -> list[str]:
    named = {
        slot.name: f"studio.run({slot.run_id!r}).adapter" if slot.run_id else repr(str(slot.path)) for slot in slots
    }
    later = [slot.name for slot in slots if slot.same_base]
    entries = [f"    {name!r}: {place}," for name, place in named.items() if name not in later]
    opened = [f"chat = studio.chat({model!r}, adapters={{", *entries, "})"]
    added = [f"chat.add({name!r}, {named[name]}, same_base=True)" for name in later]
    return [*(opened if entries else [f"chat = studio.chat({model!r})"]), *added]


def build_snapshot(turn: Turn | None) -> str:
    """The last prompt and its answers as a table: static, everything escaped."""
    if turn is None:
        return ""
    rows = "".join(_row(answer) for answer in turn.answers)
    refused = f'<div style="{_MUTED}">{_text(turn.problem.message)}</div>' if turn.problem else ""
    return (
        f'<div style="{_FONT};border:{_BORDER};border-radius:4px;padding:12px 16px;max-width:880px">'
        f'<div style="font-weight:600">Chat with {_text(model_title(turn.model))}</div>'
        f'<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere;margin:8px 0">{_text(turn.prompt)}</div>'
        f'{refused}<table style="border-collapse:collapse;border:0;width:100%">{rows}</table>'
        f'<div style="{_MUTED}">Snapshot of the last prompt. Run this cell to chat again.</div></div>'
    )


def _row(answer: Answer) -> str:
    reply = answer.reply
    cost = f"{reply.tokens:,} tokens, {reply.tokens_per_s:,.1f} tokens/s" if reply else answer.state
    words = answer.problem.message if answer.problem else answer.text
    cell = f"padding:4px 16px 4px 0;text-align:left;vertical-align:top;border-top:{_BORDER}"
    return (
        f'<tr style="background:none"><th scope="row" style="{cell};width:160px">{_text(answer.title)}<br>'
        f'<span style="{_MUTED};font-weight:400">{_text(cost)}</span></th>'
        f'<td dir="auto" style="{cell};white-space:pre-wrap;overflow-wrap:anywhere">{_text(words)}</td></tr>'
    )


def _text(text: str) -> str:
    return escape(plain(text, limit=_IN_PICTURE), quote=True)
