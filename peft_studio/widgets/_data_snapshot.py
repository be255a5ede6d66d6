"""The Data panel as a saved notebook shows it: static HTML, no script, everything escaped. No rows: they stay in their file."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 560, 80  # pixels
_FONT = "font:13px/20px var(--jp-ui-font-family,system-ui,sans-serif)"
_MUTED = "color:var(--jp-ui-font-color2,#616161)"
_BORDER = "1px solid var(--jp-border-color2,#e0e0e0)"
_BAR, _CUT = "#2f66dd", "#cc7a2e"  # kept, cut; 3:1 and more on light and on dark
_CELL = "padding:2px 16px 2px 0;text-align:left;vertical-align:top"


def data_snapshot(view: dict[str, Any]) -> str:
    """The picture of the sections that the page has."""
    data = view["data"]
    if data is None:
        return ""
    report = view["report"]
    title = f"{data['verdict']['words']} · {data['title']}"
    parts = [
        f'<div style="{_FONT};border:{_BORDER};border-radius:4px;padding:12px 16px;max-width:640px">',
        f'<div style="font-weight:600">{_text(title)}</div>',
        f'<div style="{_MUTED}">{_text(" · ".join(_facts(view["facts"], report)))}</div>',
        _findings(view["findings"]),
        _lengths(report["lengths"], report["max_length"]) if report and report["lengths"] else "",
        f'<div style="{_MUTED};font-size:12px">Snapshot. Run this cell to make it live.</div></div>',
    ]
    return "".join(parts)


def _facts(facts: dict[str, Any], report: dict[str, Any] | None) -> Iterable[str]:
    yield f"{facts['rows']:,} rows"
    yield f"format {facts['format']}, {facts['confidence']:.0%} sure"
    if facts["held_out_rows"]:
        yield f"{facts['held_out_rows']:,} held out for evaluation"
    if facts["left_out"]:
        yield f"{facts['left_out']:,} left out"
    if report and report["model"]:
        yield f"checked for {report['model']}"


def _findings(findings: list[dict[str, Any]]) -> str:
    rows = "".join(
        f'<tr style="background:none"><td style="{_CELL}">{_text(one["severity"])}</td>'
        f'<td style="{_CELL}">{_text(one["message"])}</td></tr>'
        for one in findings
    )
    return f'<table style="border-collapse:collapse;margin:8px 0;border:0">{rows}</table>' if rows else ""


def _lengths(lengths: dict[str, Any], max_length: int | None) -> str:
    bins = lengths["bins"]
    top, wide = max(count for _, _, count in bins), _WIDTH / len(bins)
    bars = "".join(
        f'<rect x="{at * wide:.1f}" y="{_HEIGHT - count / top * (_HEIGHT - 4):.1f}" width="{wide - 1:.1f}" '
        f'height="{count / top * (_HEIGHT - 4):.1f}" fill="{_CUT if max_length and low > max_length else _BAR}"/>'
        for at, (low, _, count) in enumerate(bins)
    )
    label = (
        f"Tokens a row: half under {lengths['p50']:,}, 95 % under {lengths['p95']:,}, longest {lengths['max']:,}, "
        f"{lengths['total']:,} in all" + (f", cut at {max_length:,}" if max_length else "")
    )
    alt = _text(label)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" aria-label="{alt}" style="display:block">'
        f'{bars}</svg><div style="{_MUTED};font-size:12px">{alt}</div>'
    )


def _text(text: str) -> str:
    return escape(text, quote=True)
