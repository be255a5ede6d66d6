"""Everything worth knowing of a data set before it is trained on, in one pass over its rows.

Structure is checked on every row; tokens on all of them too, or on an evenly spread sample when there are many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from peft_studio.core.data.dataset import Dataset
from peft_studio.core.data.encode import Encoder
from peft_studio.core.data.example import Example, RowMisfit
from peft_studio.core.data.findings import SEVERITIES, Finding
from peft_studio.core.data.row_checks import RowChecks
from peft_studio.core.data.token_checks import Lengths, TokenChecks
from peft_studio.core.data.token_findings import token_findings
from peft_studio.core.errors import DataError

SAMPLE_ROWS = 20_000  # about 20 s of encoding on two cores; percentiles of so many rows are good to well under 1 %
_BATCH_ROWS = 256


@dataclass(frozen=True, repr=False)
class Report:
    """The facts of a data set, and findings with the worst first.

    Token figures are None without a model. ``learnt_share`` is the part of the kept tokens that the loss is on,
    ``cut_rows`` and ``cut_tokens`` what ``max_length`` takes away, all among the ``lengths.counted`` rows;
    ``sampled`` says that those are a sample. ``masked_by`` counts how answers were found (see :class:`Encoded`).
    """

    origin: str
    format: str
    rows: int
    train_rows: int
    eval_rows: int
    findings: tuple[Finding, ...]
    duplicates: int = 0
    leaks: int = 0
    lengths: Lengths | None = None
    max_length: int | None = None
    cut_rows: int | None = None
    cut_tokens: int | None = None
    learnt_share: float | None = None
    sampled: bool = False
    model: str | None = None
    template: str | None = None
    masked_by: Mapping[str, int] = field(default_factory=dict)

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """What must be settled before a run can start."""
        return tuple(finding for finding in self.findings if finding.severity == "blocking")

    @property
    def masked_share(self) -> float | None:
        """The part of the kept tokens that is read but not learnt."""
        return None if self.learnt_share is None else 1 - self.learnt_share

    def __repr__(self) -> str:
        from peft_studio.core.data.report_view import report_text

        return report_text(self)

    def _repr_html_(self) -> str:
        from peft_studio.core.data.report_view import report_html

        return report_html(self)


def build_report(data: Dataset, encoder: Encoder | None, *, max_length: int | None, assistant_only: bool) -> Report:
    """Check ``data``; see :meth:`Dataset.report`.

    Raises:
        DataError: The source cannot be read on from some place.
        ModelError: The model's chat template is broken.
    """
    if encoder is not None and max_length is None:
        max_length = encoder.context_tokens
    rows = RowChecks(data.rows)
    tokens = TokenChecks(encoder, max_length=max_length, assistant_only=assistant_only) if encoder else None
    step = max(1, -(-data.rows // SAMPLE_ROWS))
    _read_rows(data, rows, tokens=tokens, step=step)
    train_rows, eval_rows = data.sizes
    sampled = tokens is not None and step > 1
    findings = [*data.problems, *_format_findings(data), *rows.findings()]
    findings += token_findings(tokens, sampled=sampled) if tokens else []
    if sampled and tokens:
        message = f"Token figures are of {len(tokens.lengths):,} rows, every {step}th; structure was checked on all."
        findings.append(Finding("sampled", "info", message))
    known = Report(
        origin=data.ref.origin,
        format=str(data.format),
        rows=data.rows,
        train_rows=train_rows,
        eval_rows=eval_rows,
        findings=_ordered(findings),
        duplicates=rows.counts["duplicates"],
        leaks=rows.counts["leaks"],
    )
    return _with_tokens(known, tokens, sampled=sampled) if tokens else known


def _read_rows(data: Dataset, rows: RowChecks, *, tokens: TokenChecks | None, step: int) -> None:
    batch: list[Example] = []
    for row in data.raw_rows():
        if row.value is None:
            continue  # a finding since the data was opened
        try:
            example = data.example(row)
        except RowMisfit as exc:
            rows.see_misfit(exc)
            continue
        rows.see(example, held_out=row.held_out)
        if tokens is not None and row.number % step == 0:
            batch.append(example)
            if len(batch) == _BATCH_ROWS:
                _encode(batch, tokens)
                batch = []
    if tokens is not None:
        _encode(batch, tokens)


def _encode(batch: list[Example], tokens: TokenChecks) -> None:
    encoded = tokens.encoder.encode_batch(batch, max_length=tokens.max_length, assistant_only=tokens.assistant_only)
    for example, one in zip(batch, encoded, strict=True):
        if isinstance(one, DataError):
            tokens.see_refusal(example.row, one)
        else:
            tokens.see(example, one)


def _format_findings(data: Dataset) -> list[Finding]:
    found = []
    if data.format.name == "preference":
        message = "Preference pairs (chosen and rejected) are read and kept whole, but cannot be trained on yet."
        fix = "To train on the chosen answers alone, map them: columns={'prompt': …, 'completion': 'chosen'}."
        found.append(Finding("preference-training", "blocking", message, fix=fix))
    if data.format.confidence < 0.9:
        message = f"The format is a guess: {data.format}."
        found.append(
            Finding("unsure-format", "warning", message, fix="Confirm it with format=…, or map columns by hand.")
        )
    return found


def _ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def _with_tokens(known: Report, tokens: TokenChecks, *, sampled: bool) -> Report:
    template = tokens.encoder.template
    return Report(
        **{
            **known.__dict__,
            "lengths": tokens.measure(),
            "max_length": tokens.max_length,
            "cut_rows": len(tokens.rows["cut"]),
            "cut_tokens": tokens.cut_tokens,
            "learnt_share": tokens.learnt_tokens / tokens.kept_tokens if tokens.kept_tokens else None,
            "sampled": sampled,
            "model": tokens.encoder.name,
            "template": f"{template.found_in} of {tokens.encoder.name}" if template else None,
            "masked_by": dict(tokens.masked_by),
        }
    )
