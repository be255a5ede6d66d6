"""A preview as text for a terminal, where ⟦ ⟧ enclose what is learnt, and as coloured HTML for a notebook."""

from __future__ import annotations

from itertools import groupby

from peft_studio.core.data.preview import Piece, Preview, PreviewRow
from peft_studio.core.markup import FAINT, LINE, MONO, block, escape, visible

_LEGEND = "⟦learnt⟧ the loss is on these tokens; the others are read only."
# A tint of the theme's own accent over whatever background there is, and an underline for those who do not see the
# colour.
_LEARNT = (
    "background:color-mix(in srgb, var(--jp-success-color1, #2e7d32) 24%, transparent);"
    "border-bottom:2px solid var(--jp-success-color1, #2e7d32)"
)
_EDGE = f"box-shadow:inset -1px 0 0 {LINE}"


def preview_text(preview: Preview) -> str:
    """Each row under a line that counts its tokens; a legend at the end."""
    rows = [f"{_title(row, preview)}\n{_row_text(row)}" for row in preview.rows]
    return "\n\n".join([*rows, _LEGEND]) if rows else "No rows to show."


def _row_text(row: PreviewRow) -> str:
    if row.problem:
        return visible(row.problem)
    runs = ((learnt, "".join(p.text for p in pieces)) for learnt, pieces in groupby(row.pieces, key=lambda p: p.learnt))
    return visible("".join(f"⟦{text}⟧" if learnt else text for learnt, text in runs).rstrip("\n"))


def preview_html(preview: Preview) -> str:
    """Every token in a box of its own; those that are learnt tinted and underlined. Everything is escaped."""
    legend = (
        f'<p style="color:{FAINT};margin:.4em 0"><span style="{_LEARNT}">learnt</span> '
        "the loss is on these tokens; the others are read only.</p>"
    )
    return block([*(_row_html(row, preview) for row in preview.rows), legend])


def _row_html(row: PreviewRow, preview: Preview) -> str:
    title = f'<div style="color:{FAINT};margin-top:.6em">{escape(_title(row, preview))}</div>'
    body = escape(row.problem) if row.problem else "".join(_piece_html(piece) for piece in row.pieces)
    style = (
        f"white-space:pre-wrap;overflow-wrap:anywhere;font-family:{MONO};font-size:.92em;"
        f"border-left:3px solid {LINE};padding-left:.7em"
    )
    return f'{title}<div style="{style}">{body}</div>'


def _piece_html(piece: Piece) -> str:
    style = ";".join(part for part in (_LEARNT if piece.learnt else "", _EDGE if piece.tokens else "") if part)
    # A line end on its own has no width, so its box would not be seen.
    text = escape(piece.text).replace("\n", "↵\n") if piece.tokens else escape(piece.text)
    title = f' title="token {", ".join(map(str, piece.tokens))}"' if piece.tokens else ""
    return f'<span style="{style}"{title}>{text}</span>' if style or title else text


def _title(row: PreviewRow, preview: Preview) -> str:
    if row.problem or preview.model is None:
        return f"Row {row.row}"
    cut = f", {row.cut_tokens:,} more are cut" if row.cut_tokens else ""
    return f"Row {row.row}: {row.tokens:,} tokens of {preview.model}, {row.learnt:,} learnt{cut}"
