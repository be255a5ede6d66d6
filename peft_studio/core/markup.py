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
