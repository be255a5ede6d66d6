"""The Models panel as plain JSON, and as the table that a saved notebook keeps. Names and cards are strangers' words: text, never markup."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import Any

from peft_studio.core.models.facts import build_model_facts
from peft_studio.core.ports.registry import ModelDetails, RegistryModel
from peft_studio.core.services.gpu_fit import GpuFit, find_smallest
from peft_studio.core.services.model_fit import HERE, Machine, MethodFit, ModelFit, find_reason, fit_model
from peft_studio.core.services.model_list import short_count, size
from peft_studio.core.services.registry_search import Answer
from peft_studio.core.services.sale_fit import SaleFit, say_fit
from peft_studio.widgets._text import plain

_NAME, _CARD, _FILES = 300, 60_000, 60
_FONT = "font:13px/20px var(--jp-ui-font-family,system-ui,sans-serif)"
_MUTED = "color:var(--jp-ui-font-color2,#616161);font-size:12px"
_BORDER = "1px solid var(--jp-border-color2,#e0e0e0)"
Section = dict[str, Any]


def view_row(
    model: RegistryModel, machine: Machine, *, here: Collection[str], known: ModelFit | None, sale: SaleFit
) -> Section:
    """A result. ``known``: the verdict that its config gave, once its details were opened."""
    reason = plain(find_reason(model), limit=_NAME)
    fit = None if reason else known or fit_model(model, None, machine)
    return {
        "id": plain(model.id, limit=_NAME), "registry": model.registry, "title": plain(model.title or model.id, limit=_NAME),
        "parameters": model.parameters, "size_bytes": model.size_bytes, "licence": plain(model.licence or "", limit=_NAME),
        "downloads": model.downloads, "downloads_over": model.downloads_over, "likes": model.likes, "gated": model.gated,
        "quantisation": plain(model.quantisation or "", limit=_NAME), "task": plain(model.task or "", limit=_NAME),
        "updated_at": model.updated_at.timestamp() if model.updated_at else None, "url": _web(model.url),
        "here": model.registry == HERE or (model.registry == "huggingface" and model.id in here),
        "fit": fit.fit if fit else None, "fit_basis": plain(fit.sentence) if fit else "", "reason": reason,
        "sale_fit": sale.fit, "sale_words": sale.words, "words": say_fit(fit, sale) if fit else "",
    }  # fmt: skip


def view_answer(answer: Answer, title: str) -> Section:
    """How one registry stands."""
    return {
        "name": answer.registry, "title": plain(title, limit=_NAME), "state": answer.state, "count": len(answer.models),
        "as_of": plain(answer.as_of), "why_not": plain(answer.why_not), "more": answer.next_cursor is not None,
    }  # fmt: skip


def view_details(
    details: ModelDetails, machine: Machine, *, as_of: str, here: Collection[str], sale: SaleFit
) -> Section:
    """All of one model: what it needs, its shapes, its files, and its card as text."""
    model = details.model
    config = dict(details.config) if details.config else None
    fit = fit_model(model, config, machine)
    gpus = find_smallest(config) if fit.methods and config else ()
    return {
        **view_row(model, machine, here=here, known=fit, sale=sale),
        "author": plain(model.author or "", limit=_NAME),
        "revision": plain(details.revision or "", limit=_NAME),
        "as_of": plain(as_of),
        "needs": [_need(one, next((gpu for gpu in gpus if gpu.method == one.method), None)) for one in fit.methods],
        "shapes": _shapes(config) if config else [],
        "base_models": [plain(name, limit=_NAME) for name in model.base_models[:10]],
        "files": [[plain(file.path, limit=_NAME), file.size_bytes] for file in details.files[:_FILES]],
        "files_total": len(details.files),
        "card": plain(details.card or "", limit=_CARD),
    }


def _need(found: MethodFit, rented: GpuFit | None) -> Section:
    """Memory to train it in one way here, and the smallest card of the device table that it fits on."""
    needs, gpu = found.needs, rented.gpu if rented else None
    given_up = f"{found.way}. {found.costs} " if found.way != found.title else ""
    return {
        "name": found.title, "fit": found.fit, "value": float(needs.value), "low": float(needs.low), "high": float(needs.high),
        "basis": f"{given_up}{found.basis[0].upper()}{found.basis[1:]}; {needs.basis}",
        "gpu": f"{gpu.name} ({gpu.memory_gib}\u202fGiB)" if gpu else None, "gpu_others": ", ".join(rented.others) if rented else "",
    }  # fmt: skip


def _shapes(config: dict[str, Any]) -> list[list[str]]:
    facts = build_model_facts(config)
    found: list[tuple[str, Any]] = [
        ("Family", plain(facts.family or "", limit=_NAME)), ("Layers", facts.layers), ("Width", facts.hidden_size),
        ("Heads", facts.heads and f"{facts.heads} ({facts.kv_heads} of keys and values)"), ("Vocabulary", facts.vocab),
        ("Context", facts.context_length and f"{facts.context_length:,} tokens"), ("Stored as", plain(facts.dtype or "", limit=_NAME)),
        ("Code of its own", "yes: it runs only if you name its commit" if facts.remote_code else ""),
    ]  # fmt: skip
    return [[name, f"{value:,}" if isinstance(value, int) else str(value)] for name, value in found if value]


def _web(url: str | None) -> str:
    return url if url and url.startswith("https://") else ""


def build_snapshot(rows: Sequence[Section], asked: str, places: str) -> str:
    """The first results as a table: static, everything escaped."""
    head = "".join(
        f'<th style="{_cell()};{_MUTED}">{name}</th>'
        for name in ("model", "from", "parameters", "size", "licence", "fit")
    )
    body = "".join(_row(row) for row in rows[:12])
    title = f"Models: {asked}" if asked else "Models"
    return (
        f'<div style="{_FONT};border:{_BORDER};border-radius:4px;padding:12px 16px;max-width:880px">'
        f'<div style="font-weight:600">{_text(title)}</div><div style="{_MUTED}">{_text(places)}</div>'
        f'<table style="border-collapse:collapse;border:0;margin:8px 0"><tr style="background:none">{head}</tr>{body}</table>'
        f'<div style="{_MUTED}">Snapshot of {min(len(rows), 12)} of {len(rows)}. Run this cell to search again.</div></div>'
    )


def _row(row: Section) -> str:
    place = "this machine" if row["registry"] == HERE else row["registry"]
    words = (
        row["title"], place, short_count(row["parameters"]), size(row["size_bytes"]), row["licence"] or "—", row["words"] or "—",
    )  # fmt: skip
    return f'<tr style="background:none">{"".join(f"<td style={chr(34)}{_cell()}{chr(34)}>{_text(word)}</td>" for word in words)}</tr>'


def _cell() -> str:
    return "padding:2px 16px 2px 0;text-align:left;vertical-align:top;background:none"


def _text(text: str) -> str:
    return escape(plain(text), quote=True)
