"""Small pieces of HTML for notebooks. All that comes from data passes through :func:`escape`: rows are not trusted.

Colours are JupyterLab's variables with fallbacks, so both of its themes, and a page without it, can be read.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

TEXT = "var(--jp-content-font-color1, inherit)"
FAINT = "var(--jp-content-font-color2, #6b6b6b)"
LINE = "var(--jp-border-color2, #c8c8c8)"
MONO = "var(--jp-code-font-family, ui-monospace, monospace)"
SEVERITY = {
    "blocking": "var(--jp-error-color1, #c62828)",
    "warning": "var(--jp-warn-color1, #b26a00)",
    "info": "var(--jp-info-color1, #0277bd)",
}
# Lines of several runs, in this order everywhere; told apart by dashes too.
SERIES = (
    ("#2f66dd", ""), ("#cc7a2e", "6 3"), ("#0e8f6a", "2 3"), ("#c03f7c", "8 3 2 3"),
    ("#8a63c9", ""), ("#86690a", "6 3"), ("#289ab2", "2 3"), ("#a8503f", "8 3 2 3"),
)  # fmt: skip


def escape(value: object) -> str:
    """Text that cannot become markup; control characters, which could hide or reorder text, show as symbols."""
    return html.escape(visible(str(value)), quote=True)


def visible(text: str) -> str:
    """Text with the characters that would move the cursor, hide or reorder what is beside them written out as <U+…>.

    Line ends and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t\u00a0\u3000" else f"<U+{ord(c):04X}>" for c in text)


def block(parts: Iterable[str]) -> str:
    """Parts, HTML already, one under the other."""
    style = f"color:{TEXT};line-height:1.45;max-width:72em"
    return f'<div class="peft-studio-data" style="{style}">{"".join(parts)}</div>'


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """A two-column table of names and values, both plain text."""
    cells = "".join(
        f'<tr><th style="text-align:left;font-weight:normal;color:{FAINT};padding:0 1.2em 0 0">{escape(name)}</th>'
        f'<td style="text-align:left;padding:0">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table style="border-collapse:collapse;margin:.3em 0">{cells}</table>'


def finding_line(severity: str, message: str, fix: str) -> str:
    """One finding: a word for its severity (never colour alone), the message, the fix."""
    mark = f'<b style="color:{SEVERITY[severity]}">{escape(severity)}</b>'
    tail = f'<br><span style="color:{FAINT}">→ {escape(fix)}</span>' if fix else ""
    return f'<li style="margin:.25em 0">{mark} {escape(message)}{tail}</li>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text, one line between rows."""
    cell = f"text-align:left;vertical-align:top;padding:.15em 1.2em .15em 0;border-bottom:1px solid {LINE}"
    head = "".join(f'<th style="{cell};font-weight:normal;color:{FAINT}">{escape(text)}</th>' for text in heads)
    body = "".join(
        "<tr>" + "".join(f'<td style="{cell}">{escape(text)}</td>' for text in row) + "</tr>" for row in rows
    )
    return f'<table style="border-collapse:collapse;margin:.3em 0"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def curves(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, width: int = 560, height: int = 160) -> str:
    """Lines in one picture with a legend below; each is a name and its points. Points that are no numbers leave gaps out."""
    known = [(name, [(x, y) for x, y in points if abs(y) < float("inf")]) for name, points in lines]
    every = [point for _, points in known for point in points]
    if len(every) < 2:
        return ""
    left, right = min(x for x, _ in every), max(x for x, _ in every)
    low, high = min(y for _, y in every), max(y for _, y in every)

    def place(x: float, y: float) -> str:
        across, up = (x - left) / ((right - left) or 1), (high - y) / ((high - low) or 1)
        return f"{2 + across * (width - 4):.1f} {4 + up * (height - 8):.1f}"

    paths, legend = [], []
    for (name, points), (color, dash) in zip(known, SERIES, strict=False):
        if points:
            stroke = f'stroke="{color}" stroke-width="1.75" stroke-dasharray="{dash}"'
            paths.append(f'<path fill="none" {stroke} d="M{"L".join(place(x, y) for x, y in points)}"/>')
            key = f'<svg width="20" height="8" aria-hidden="true"><path {stroke} d="M0 4h20"/></svg>'
            legend.append(f'<span style="margin-right:1.4em;white-space:nowrap">{key} {escape(name)}</span>')
    says = f"{len(paths)} lines, from {high:.3f} at the top to {low:.3f} at the bottom"
    return (
        f'<svg viewBox="0 0 {width} {height}" style="display:block;width:100%;max-width:{width}px" role="img" aria-label="{says}">'
        f'<path d="M0 {height - 0.5}H{width}" stroke="{LINE}"/>{"".join(paths)}</svg>'
        f'<div style="color:{FAINT};font-size:.92em">{"".join(legend)}<br>{says}.</div>'
    )
