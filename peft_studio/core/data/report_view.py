"""A report as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

from peft_studio.core.data.findings import Finding
from peft_studio.core.data.report import Report
from peft_studio.core.data.token_checks import Lengths
from peft_studio.core.markup import block, escape, facts, finding_line, visible

_BARS = " ▁▂▃▄▅▆▇█"


def report_text(report: Report) -> str:
    """Facts, then findings, the worst first."""
    width = max(len(name) for name, _ in _facts(report))
    lines = [_title(report), *(f"  {name:<{width}}  {visible(value)}" for name, value in _facts(report))]
    lines += [f"  {visible(str(finding))}" for finding in report.findings] or ["  nothing to remark"]
    return "\n".join(lines)


def report_html(report: Report) -> str:
    """The same as :func:`report_text`, everything escaped."""
    items = "".join(finding_line(f.severity, _with_rows(f), f.fix) for f in report.findings)
    found = f'<ul style="padding-left:1.2em;margin:.3em 0">{items}</ul>' if items else "<p>Nothing to remark.</p>"
    return block([f"<b>{escape(_title(report))}</b>", facts(_facts(report)), found])


def histogram_text(lengths: Lengths) -> str:
    """The lengths as a row of bars, with the shortest and longest at its ends."""
    top = max(count for _, _, count in lengths.histogram)
    bars = "".join(_BARS[-(-count * (len(_BARS) - 1) // top)] for _, _, count in lengths.histogram)
    return f"{lengths.histogram[0][0]:,} {bars} {lengths.max:,}"


def _title(report: Report) -> str:
    blocking = len(report.blocking)
    verdict = f"{blocking} blocking {'problem' if blocking == 1 else 'problems'}" if blocking else "ready to train on"
    return f"Data report: {report.origin}: {verdict}"


def _facts(report: Report) -> list[tuple[str, str]]:
    rows = [
        ("format", report.format),
        ("rows", f"{report.rows:,}: {report.train_rows:,} to train on, {report.eval_rows:,} held out"),
        ("repeated", f"{_count(report.duplicates, 'duplicate')}, {report.leaks:,} in training and evaluation"),
    ]
    if report.lengths is None:
        return rows
    lengths = report.lengths
    rows += [
        ("tokens a row", f"median {lengths.p50:,}, 95 % up to {lengths.p95:,}, longest {lengths.max:,}"),
        ("lengths", histogram_text(lengths)),
        ("cut", _cut(report)),
        (
            "learnt",
            f"{report.learnt_share:.1%} of tokens, {report.masked_share:.1%} masked"
            if report.learnt_share is not None
            else "—",
        ),
        ("template", report.template or "none"),
        ("counted", f"{lengths.counted:,} rows{' (a sample)' if report.sampled else ''} with {report.model}"),
    ]
    return rows


def _cut(report: Report) -> str:
    if not report.max_length:
        return "nothing (no max_length)"
    return f"{_count(report.cut_rows or 0, 'row')} and {_count(report.cut_tokens or 0, 'token')} at max_length {report.max_length:,}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _with_rows(finding: Finding) -> str:
    rows = ", ".join(map(str, finding.rows))
    return (
        f"{finding.message} Rows {rows}{' …' if finding.count > len(finding.rows) else ''}."
        if rows
        else finding.message
    )
