"""Which loop a run takes: the fast path where it was shown equal on this model and method, else the model's own forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft_studio.core.errors import SpecError
from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer import fast
from peft_studio.runner.trainer.rows import Row, TokenRows
from peft_studio.runner.trainer.shards import is_sharded

SAMPLE_BEGINNING = 16  # tokens
SAMPLE_ENDS = (40, 28)


@dataclass(frozen=True)
class LoopChoice:
    """``fast`` is the installed fast path or None; ``bins`` are packed micro-batches or None; ``reason`` is for people.

    ``share_prefix``: tokens that all rows of a micro-batch begin with are computed once.
    """

    fast: fast.FastPath | None
    reason: str
    bins: list[list[int]] | None
    share_prefix: bool = False


def choose_loop(model: Any, spec: RunSpec, rows: TokenRows) -> LoopChoice:
    """Decide, prove it on rows of this run, and install what was decided.

    Raises:
        SpecError: ``loop="fast"`` was asked for and cannot be had.
    """
    bins = fast.pack_rows(rows.lengths(), spec.batch_size * spec.max_length, range(len(rows))) if spec.packing else None
    # With dropout each row draws its own noise on the common tokens, so they cannot be computed once.
    share_prefix = spec.dropout == 0
    reason = _against(model, spec, rows, share_prefix=share_prefix)
    if reason is None:
        return LoopChoice(
            fast.install(model), "equal to the model's own forward on rows of this run", bins, share_prefix
        )
    if spec.loop == "fast":
        raise SpecError(
            f"The fast loop cannot be used here: {reason}",
            hint="Leave loop at 'auto' to use the reference loop.",
            fields=("loop",),
        )
    return LoopChoice(None, reason, bins)


def _against(model: Any, spec: RunSpec, rows: TokenRows, *, share_prefix: bool) -> str | None:
    """Why the fast path must not be used; None when nothing speaks against it."""
    if spec.loop == "reference":
        return "the reference loop was asked for"
    if is_sharded(model):
        return "no process holds the base model whole"
    if reason := fast.unsupported(model, spec):
        return reason
    difference = fast.compare(model, build_sample(rows), share_prefix=share_prefix)
    return None if difference.within else str(difference)


def build_sample(rows: TokenRows) -> list[Row]:
    """Two short rows of this run to compare the loops on: beginnings, which rows share, and ends, where answers stand.

    Short, because the comparison stands before the first step of every run; unequal in length, so that padding matters.
    """
    return [_shortened(rows[number], keep) for number, keep in zip(range(min(2, len(rows))), SAMPLE_ENDS, strict=False)]


def _shortened(row: Row, keep: int) -> Row:
    if len(row["input_ids"]) <= SAMPLE_BEGINNING + keep:
        return row
    return {name: values[:SAMPLE_BEGINNING] + values[-keep:] for name, values in row.items()}
