"""A draft as the Train panel shows it: every field with its value, default, reason and effect, as plain JSON; and as static HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft_studio.core.data import Dataset
from peft_studio.core.defaults import Default, Effect, ExplainedSpec, find_effect
from peft_studio.core.defaults.trade_offs import METHODS, QUANTIZATIONS
from peft_studio.core.errors import SpecError
from peft_studio.core.markup import block, facts, finding_line, table
from peft_studio.core.services.check import Check, Problem
from peft_studio.core.services.quote import Quote
from peft_studio.core.session import Choice
from peft_studio.core.spec import RunSpec
from peft_studio.widgets._text import plain
from peft_studio.widgets._train_fields import (
    FIELDS,
    GROUPS,
    SIMPLE,
    FormField,
    choices_of,
    kind_of,
    lines_of,
    text_of,
    words_of,
)
from peft_studio.widgets._train_quote import snapshot_rows

_VALUE, _WORDS = 100_000, 600  # characters; what is cut off a value would be lost when it is edited
_TRADE_OFFS: dict[str, Mapping[Any, str]] = {"method": METHODS, "quantization": QUANTIZATIONS}

Section = dict[str, Any]


def build_groups() -> list[Section]:
    """Which fields stand where. The first group is always shown."""
    first = {"title": "", "folded": False, "fields": [field.name for field in SIMPLE]}
    rest = [
        {"title": group.title, "folded": group.folded, "fields": [field.name for field in group.fields]}
        for group in GROUPS
    ]
    return [first, *rest]


def build_fields(draft: ExplainedSpec, errors: Mapping[str, Section]) -> dict[str, Section]:
    """Every field by name. ``errors`` has what a person typed that the spec refused."""
    defaults = draft.explain_defaults()
    return {field.name: _field(field, draft, defaults[field.name], errors.get(field.name)) for field in FIELDS.values()}


def _field(form: FormField, draft: ExplainedSpec, default: Default, error: Section | None) -> Section:
    name, kind = form.name, kind_of(form.name)
    value, changed = getattr(draft, name), name in draft.chosen
    text = lines_of(value) if kind == "lines" else text_of(value)
    return {
        "title": form.title,
        "kind": kind,
        "unit": form.unit,
        "empty": form.empty,
        "choices": choices_of(name),
        "text": error["text"] if error and kind in ("number", "text", "lines") else plain(text, limit=_VALUE),
        "changed": changed,
        "default": plain(words_of(name, default.value), limit=_WORDS),
        "why": plain(default.why, limit=_WORDS),
        "source": plain(default.source, limit=_WORDS),
        "meanings": [[choice or "none", words] for choice, words in _TRADE_OFFS.get(name, {}).items()],
        "hint": _hint(name, draft),
        "effect": _effect(name, draft) if changed else None,
        "error": {"message": error["message"], "hint": error["hint"]} if error else None,
    }


def _hint(name: str, draft: ExplainedSpec) -> str:
    """A few words beside the control: what its value comes to."""
    if name in _TRADE_OFFS:
        return _TRADE_OFFS[name][getattr(draft, name)]
    if name in ("rank", "alpha"):
        return f"scale {text_of(draft.scale)[:6]}"
    if name == "gradient_accumulation_steps":
        return f"= {draft.effective_batch:,} rows a step"
    steps = draft.planned_steps
    if name == "epochs" and draft.max_steps is not None:
        return "not used: max steps decides"
    if name == "epochs" and steps is not None:
        return f"{'at most ' if draft.packing else ''}{steps:,} steps"
    return ""


def _effect(name: str, draft: ExplainedSpec) -> Section | None:
    try:
        effect = find_effect(draft, name)
    except SpecError:  # the other fields need this one: there is no spec without it to compare with
        return None
    fix = None
    if effect.keeps_scale is not None:
        title = f"Set alpha to {text_of(effect.keeps_scale)}, keep {text_of(effect.scale[0])[:6]}"
        fix = {"title": title, "changes": {"alpha": effect.keeps_scale}}
    return {"lines": list(_effect_lines(effect, draft)), "fix": fix}


def _effect_lines(effect: Effect, draft: ExplainedSpec) -> list[str]:
    (scale_before, scale), (steps_before, steps) = effect.scale, effect.steps
    lines = []
    if scale_before != scale:
        word = "falls" if scale < scale_before else "rises"
        lines.append(
            f"With alpha {text_of(draft.alpha)} the scale {word} from {text_of(scale_before)[:6]} to {text_of(scale)[:6]}."
        )
    for other, (before, after) in effect.followed.items():
        title = FIELDS[other].title if other in FIELDS else other
        lines.append(plain(f"{title} follows: {words_of(other, before)} → {words_of(other, after)}.", limit=_WORDS))
    if steps_before != steps and steps_before is not None and steps is not None:
        lines.append(f"{steps_before:,} → {steps:,} optimizer steps.")
    return lines or ["No other field follows."]


def build_problem(problem: Problem) -> Section:
    """A problem of the preflight, with its fix as a button where it is a change of fields."""
    changes = problem.changes if problem.changes and set(problem.changes) <= set(RunSpec.model_fields) else {}
    words = ", ".join(f"{_title(name)} to {words_of(name, value)}" for name, value in changes.items())
    return {
        "code": problem.code,
        "severity": problem.severity,
        "message": plain(problem.message, limit=_WORDS),
        "fix": plain(problem.fix, limit=_WORDS),
        "field": problem.field,
        "button": plain(f"Set {words}", limit=80) if changes else "",
        "changes": changes,
    }


def build_data(data: Dataset | None) -> Section | None:
    """The chosen rows in a line."""
    if data is None:
        return None
    train, held_out = data.sizes
    name = Path(data.ref.origin).name or data.ref.origin
    return {
        "name": plain(name, limit=200),
        "origin": plain(data.ref.origin, limit=_WORDS),
        "rows": train,
        "held_out": held_out,
        "left_out": len(data.ref.left_out),
        "format": data.ref.format,
    }


def build_snapshot(now: Choice, check: Check | None, quote: Quote | None) -> str:
    """The picture that a saved notebook shows: what was chosen, what was changed, what it would need, whether it was ready."""
    rows = [("Model", plain(now.model or "not chosen", limit=200)), ("Data", _data_words(now.data))]
    if (draft := now.draft) is None:
        return block(["<b>Train</b>", facts(rows)])
    quantization = f", {draft.quantization}" if draft.quantization else ""
    rows.append(("Method", words_of("method", draft.method) + quantization))
    rows.append(("Rank, alpha", f"{draft.rank}, {text_of(draft.alpha)} (scale {text_of(draft.scale)[:6]})"))
    rows.append(("Steps", f"{draft.planned_steps:,}" if draft.planned_steps else "—"))
    rows.extend(snapshot_rows(quote))
    rows.append(("Preflight", "—" if check is None else "Ready" if check.ready else "Not ready"))
    defaults = draft.explain_defaults()
    changed = [
        (_title(name), plain(words_of(name, getattr(draft, name)), limit=200), plain(words_of(name, default.value), limit=200))
        for name, default in defaults.items()
        if name in draft.chosen
    ]  # fmt: skip
    parts = ["<b>Train</b>", facts(rows), table(("changed field", "value", "default"), changed) if changed else ""]
    problems = "".join(finding_line(p.severity, p.message, p.fix) for p in check.problems) if check else ""
    return block([*parts, f"<ul>{problems}</ul>" if problems else ""])


def _data_words(data: Dataset | None) -> str:
    found = build_data(data)
    return f"{found['name']}, {found['rows']:,} rows, {found['format']}" if found else "not chosen"


def _title(name: str) -> str:
    return FIELDS[name].title.lower() if name in FIELDS else name
