"""What the Data panel shows, as JSON by section. All text is cleaned here; row numbers count from 0, as in code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from peft_studio.core.data import FORMATS, Dataset, Finding, Report
from peft_studio.core.data.columns import Column
from peft_studio.core.data.formats import MAY_HAVE, NEEDS
from peft_studio.core.data.preview import Piece
from peft_studio.widgets._data_check import Checked, Looked, Shown
from peft_studio.widgets._data_files import shown_name
from peft_studio.widgets._newest import Answer
from peft_studio.widgets._text import plain

_NAME, _MESSAGE, _EXAMPLE, _PIECE, _SOURCE = 200, 1500, 160, 8000, 20_000  # characters
_MOST_COLUMNS = 200

Section = dict[str, Any]
SHAPES = {name: {"needs": list(NEEDS[name]), "may": list(MAY_HAVE[name])} for name in FORMATS}


def title_of(data: Dataset) -> str:
    """What the data is called."""
    return plain(shown_name(data.ref.origin), limit=_NAME)


def verdict(findings: Sequence[Finding], checked: Checked | None, *, failed: bool = False) -> Section:
    """Whether the data can be trained on, in words."""
    blocking = sum(finding.severity == "blocking" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    if blocking:
        return {"hue": "error", "words": f"Not usable, {blocking} blocking"}
    if failed:
        return {"hue": "error", "words": "Not usable, it cannot be read to its end"}
    if checked is None:
        return {"hue": "info", "words": "Checking"}
    if checked.problem is not None:
        return {"hue": "warn", "words": "Usable as far as checked"}
    things = f"{warnings} thing{'' if warnings == 1 else 's'} to fix"
    return {"hue": "warn", "words": f"Usable, {things}"} if warnings else {"hue": "ok", "words": "Usable"}


def facts(data: Dataset, looked: Looked | None) -> Section:
    """What is known of the data without a model."""
    train, held_out = data.sizes
    return {
        "rows": data.rows,
        "train_rows": train,
        "held_out_rows": held_out,
        "left_out": len(data.ref.left_out),
        "bytes": looked.size_bytes if looked else None,
        "format": data.format.name,
        "confidence": data.format.confidence,
        "why": plain(data.format.why, limit=_MESSAGE),
        "given": data.format.given,
        "columns": {ours: plain(theirs, limit=_NAME) for ours, theirs in data.format.columns.items()},
        "split": data.ref.split,
        "seed": data.ref.seed,
        "own_split": data.named_held_out is not None,
        "path": plain(data.ref.path, limit=_MESSAGE),
    }


def findings_of(findings: Sequence[Finding]) -> list[Section]:
    """Findings, each with the button that settles it where there is one."""
    return [
        {
            "code": finding.code,
            "severity": finding.severity,
            "message": plain(finding.message, limit=_MESSAGE),
            "fix": plain(_fix_words(finding), limit=_MESSAGE),
            "rows": list(finding.rows[:6]),
            "count": finding.count,
            "action": action_label(finding.fix_action or {}),
        }
        for finding in findings
    ]


def _fix_words(finding: Finding) -> str:
    """What to do, without the Python for it where a button does that."""
    words, code, _ = finding.fix.partition(": data.leave_out(")
    return f"{words}." if code and finding.fix_action else finding.fix


def action_label(action: Mapping[str, Any]) -> str | None:
    """The words of the button that does what a finding proposes."""
    if rows := action.get("leave_out"):
        return f"Leave out {len(rows):,}"
    if length := action.get("max_length"):
        return f"Use {length:,}"
    return None


def passed(report: Report) -> list[str]:
    """What was looked for and not found."""
    codes = {finding.code for finding in report.findings}
    said = []
    if not codes & {"broken-rows", "row-misfit"}:
        said.append("Every row can be read and fits the format")
    if not codes & {"duplicates", "duplicates-part"}:
        said.append("No row repeats another")
    if report.eval_rows and not codes & {"leaks", "duplicates-part"}:
        said.append("No evaluation row is also in training")
    if not codes & {"empty-answer", "empty-prompt", "empty-text", "no-answer"}:
        said.append("No empty fields")
    if report.lengths is not None:
        if not codes & {"no-eos", "no-eos-token", "cut"}:
            said.append("Every row is learnt up to its end token")
        if report.template:
            said.append(plain(f"Chat template: {report.template}", limit=_NAME))
    return said


def report_of(done: Answer[Checked] | None) -> Section | None:
    """The figures of the report; None while it is being made."""
    if done is None or done.value is None:
        return None
    checked, report = done.value, done.value.report
    lengths = report.lengths
    return {
        "seconds": round(checked.seconds, 1),
        "passed": passed(report),
        "model": plain(report.model, limit=_NAME) if report.model else None,
        "sampled": report.sampled,
        "max_length": report.max_length,
        "lengths": None
        if lengths is None
        else {
            "counted": lengths.counted,
            "p50": lengths.p50,
            "p95": lengths.p95,
            "max": lengths.max,
            "total": lengths.total,
            "bins": [list(one) for one in lengths.histogram],
        },
        "cut_rows": report.cut_rows,
        "shares": _shares(report),
    }


def _shares(report: Report) -> Section | None:
    """What becomes of all tokens: trained, masked, cut. The shares add up to 1."""
    if report.lengths is None or report.learnt_share is None or not report.lengths.total:
        return None
    cut = (report.cut_tokens or 0) / report.lengths.total
    trained = report.learnt_share * (1 - cut)
    return {"trained": trained, "masked": 1 - cut - trained, "cut": cut}


def row_of(done: Answer[Shown] | None) -> Section | None:
    """One row as trained; None while it is being read."""
    if done is None:
        return None
    if done.value is None:
        return {"number": done.question[1], "problem": (done.problem or {}).get("message", ""), "pieces": []}
    raw, trained, left_out, with_tokens = done.value
    return {
        "number": raw.number,
        "place": plain(raw.place, limit=_NAME),
        "held_out": raw.held_out,
        "left_out": left_out,
        "with_tokens": with_tokens,
        "problem": plain(trained.problem, limit=_MESSAGE),
        "pieces": [_piece(piece) for piece in trained.pieces],
        "skipped": trained.skipped,
        "skipped_at": trained.skipped_at,
        "tokens": trained.tokens,
        "learnt": trained.learnt,
        "cut": trained.cut_tokens,
        "source": _source(raw.value if raw.value is not None else raw.broken),
    }


def _piece(piece: Piece) -> list[Any]:
    """Text, marks (t trained, x special, c cut off) and token ids."""
    marks = "t" * piece.learnt + "x" * piece.special + "c" * piece.cut
    return [plain(piece.text, limit=_PIECE), marks, list(piece.tokens)]


def _source(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return plain(text, limit=_SOURCE)


def columns_section(columns: Sequence[Column]) -> list[Section]:
    """Columns to choose from. One whose name cannot be shown as it is cannot be chosen here."""
    return [
        {
            "name": plain(one.name, limit=_NAME),
            "example": _example(one.example),
            "filled": one.filled,
            "seen": one.seen,
        }
        for one in columns[:_MOST_COLUMNS]
        if plain(one.name, limit=_NAME) == one.name
    ]


def _example(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return plain(text[: 4 * _EXAMPLE].replace("\n", " "), limit=_EXAMPLE)
