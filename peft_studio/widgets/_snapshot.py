"""The Run panel as a saved notebook shows it: static HTML with the last curve, no script, everything escaped.

Its colours come from the page with fallbacks for a light one, so that it is readable in JupyterLab, in an exported
file and on a code host.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any

from peft_studio.core.runs.curve import Bucket, Curve
from peft_studio.core.words import duration

_WIDTH, _HEIGHT = 560, 120  # pixels
_FONT = "font:13px/20px var(--jp-ui-font-family,system-ui,sans-serif)"
_MUTED = "color:var(--jp-ui-font-color2,#616161)"
_BORDER = "1px solid var(--jp-border-color2,#e0e0e0)"
_LINE = "#2f66dd"  # first series; 3:1 and more on light and on dark
_CELL = "padding:2px 16px 2px 0;text-align:left;vertical-align:top"


def run_snapshot(view: dict[str, Any], curve: Curve, *, at: float) -> str:
    """The picture of a run. ``view`` as ``_view.build_sections`` makes it; ``at`` is now, for runs that still go on."""
    head, facts = view["head"], view["facts"]
    seen = datetime.fromtimestamp(head["ended_at"] or at, UTC)
    title = f"{state_words(head)} · {head['name'] or head['id']}"
    parts = [
        f'<div style="{_FONT};border:{_BORDER};border-radius:4px;padding:12px 16px;max-width:640px">',
        f'<div style="font-weight:600">{_text(title)}</div>',
        f'<div style="{_MUTED}">{_text(" · ".join(_facts(facts, view.get("meter"))))}</div>',
        _table(_numbers(view)),
        _curve(curve),
        _failure(view["failure"]),
        f'<div style="{_MUTED};font-size:12px">Snapshot of {_text(head["id"])}, {seen:%d %b %Y %H:%M} UTC. '
        "Run this cell to make it live.</div></div>",
    ]
    return "".join(parts)


def state_words(head: dict[str, Any]) -> str:
    """The state in the words that every face of the studio uses; its age instead where a live run has gone silent."""
    if head["stale"] and head["live"]:
        return f"Last heard {duration(head['heard_s'])} ago"
    return str(head["state"]).capitalize()


def _facts(facts: dict[str, Any], meter: dict[str, Any] | None) -> Iterable[str]:
    yield facts["model"]
    yield f"{facts['method']}, rank {facts['rank']}" + (f", {facts['quantization']}" if facts["quantization"] else "")
    yield f"{facts['data']}, {facts['rows']:,} rows"
    place = meter["provider"] if meter else "this machine"
    on = facts["device"] or (meter["gpu"] if meter else "")
    yield f"{place}, {on}" if on else place


def _numbers(view: dict[str, Any]) -> Iterable[tuple[str, str]]:
    progress, numbers = view["progress"], view["numbers"]
    total = f" of {progress['total']:,}" if progress["total"] else ""
    spent = sum(phase["seconds"] or 0.0 for phase in view["phases"])
    yield "Step", f"{progress['step']:,}{total}"
    yield "Loss", _loss(view)
    yield "Eval loss", "—" if numbers["eval_loss"] is None else f"{numbers['eval_loss']:.3f}"
    yield "Time", duration(spent)
    meter = view.get("meter")
    yield "Cost", f"{meter['spent']} {meter['note']}, {meter['provider']}" if meter else "no charge on this machine"
    if view["files"]:
        newest = view["files"][0]
        yield "Newest file", f"{newest['name']}, {newest['size_bytes'] / 1e6:,.1f} MB"


def _loss(view: dict[str, Any]) -> str:
    last, first = view["numbers"]["loss"], view["numbers"]["first_loss"]
    return "—" if last is None else f"{last:.3f}" if first is None else f"{last:.3f}, from {first:.3f}"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = [
        f'<td style="{_CELL}"><span style="{_MUTED};font-size:12px">{_text(name)}</span><br>{_text(value)}</td>'
        for name, value in rows
    ]
    row = f'<tr style="background:none">{"".join(cells)}</tr>'
    return f'<table style="border-collapse:collapse;margin:8px 0;border:0">{row}</table>'


def _curve(curve: Curve) -> str:
    points = [bucket for bucket in curve.buckets if bucket.mean == bucket.mean]
    if len(points) < 2:
        return ""
    low, high = min(p.low for p in points), max(p.high for p in points)
    first, last = points[0].step, points[-1].step

    def place(bucket: Bucket, value: float) -> str:
        x = (bucket.step - first) / ((last - first) or 1) * _WIDTH
        return f"{x:.1f} {4 + (high - value) / ((high - low) or 1) * (_HEIGHT - 8):.1f}"

    raw = "L".join(f"{place(p, p.low)}L{place(p, p.high)}" if p.count > 1 else place(p, p.mean) for p in points)
    smooth = "L".join(place(p, value) for p, value in zip(points, smoothed(points, 0.9), strict=True))
    label = f"Training loss from {points[0].mean:.3f} at step {first:,.0f} to {points[-1].mean:.3f} at step {last:,.0f}"
    alt = _text(label)
    lines = f'<path d="M{raw}" stroke-opacity=".32"/><path d="M{smooth}" stroke-width="1.75"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" aria-label="{alt}" style="display:block">'
        f'<path d="M0 {_HEIGHT - 0.5}H{_WIDTH}" stroke="currentColor" stroke-opacity=".3"/>'
        f'<g fill="none" stroke="{_LINE}">{lines}</g></svg>'
        f'<div style="{_MUTED};font-size:12px">{alt}</div>'
    )


def smoothed(buckets: list[Bucket], weight: float) -> list[float]:
    """Debiased moving average over the rows that the buckets stand for; buckets without a loss must be left out."""
    total = share = 0.0
    values = []
    for bucket in buckets:
        keep = weight**bucket.count
        total, share = total * keep + bucket.mean * (1 - keep), share * keep + (1 - keep)
        values.append(total / share)
    return values


def _failure(failure: dict[str, Any] | None) -> str:
    if failure is None:
        return ""
    hint = f'<div style="{_MUTED}">{_text(failure["hint"])}</div>' if failure["hint"] else ""
    words = _text(failure["message"]) + hint
    return f'<div style="border-left:3px solid #d32f2f;padding-left:12px;margin:8px 0">{words}</div>'


def _text(text: str) -> str:
    return escape(text, quote=True)
