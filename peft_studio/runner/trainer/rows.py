"""Rows as the training loop takes them: token ids and labels, from the same encoder that shows them in the notebook.

Legend: T tokens of one row, N rows of a micro-batch, L the longest of them.
"""

from __future__ import annotations

import contextlib
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from peft_studio.core.data import Encoder, Example, load_encoder, open_ref
from peft_studio.core.errors import DataError, ModelError
from peft_studio.core.spec import RunSpec

IGNORED = -100  # the label that cross-entropy leaves out

Row = dict[str, list[int]]
Micro = list[Row]


class TokenRows(Dataset):
    """All rows of a split, tokenised once. Four bytes a token and a label each; item: ``{"input_ids": (T,), "labels": (T,)}`` as lists."""

    def __init__(self) -> None:
        self._tokens = array("i")
        self._labels = array("i")
        self._starts = array("q", [0])
        self.trained_tokens = 0

    def add(self, tokens: Sequence[int], trainable: Sequence[bool]) -> None:
        """Append one row."""
        self._tokens.extend(tokens)
        self._labels.extend(token if learn else IGNORED for token, learn in zip(tokens, trainable, strict=True))
        self._starts.append(len(self._tokens))
        self.trained_tokens += count_learnt(trainable)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> Row:
        start, end = self._starts[index], self._starts[index + 1]
        return {"input_ids": self._tokens[start:end].tolist(), "labels": self._labels[start:end].tolist()}

    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [end - start for start, end in zip(self._starts, self._starts[1:], strict=False)]


class PackedRows(Dataset):
    """Micro-batches made beforehand: item i is the list of rows that share micro-batch i."""

    def __init__(self, rows: TokenRows, bins: list[list[int]]) -> None:
        self._rows = rows
        self._bins = bins

    def __len__(self) -> int:
        return len(self._bins)

    def __getitem__(self, index: int) -> Micro:
        return [self._rows[number] for number in self._bins[index]]


def load_rows(spec: RunSpec, model_folder: Path, *, should_stop: Callable[[], bool]) -> tuple[TokenRows, TokenRows]:
    """Training rows and evaluation rows of a spec's data, tokenised.

    Raises:
        DataError: The file changed since launch, a row is broken, or no row has anything to learn.
    """
    data = open_ref(spec.data)
    encoder = load_encoder(model_folder)
    train, left_out = _encode(data.train_examples(), encoder, spec, should_stop)
    evaluation, _ = _encode(data.eval_examples(), encoder, spec, should_stop)
    if left_out:
        # A step of such rows alone has no loss: 0 divided by 0 tokens is NaN, which would end the run.
        print(f"warning: {left_out} training rows have no token to learn from and are left out.", file=sys.stderr)
    if train.trained_tokens == 0:
        error = DataError(
            "No row has a token to learn from.",
            hint="data.report(model) names the rows and why; data.preview shows the loss mask.",
        )
        error.code = "no_trainable_tokens"  # type: ignore[attr-defined]
        raise error
    return train, evaluation


def _encode(
    examples: Iterable[Example], encoder: Encoder, spec: RunSpec, should_stop: Callable[[], bool]
) -> tuple[TokenRows, int]:
    """The rows that teach something, and how many do not."""
    rows, left_out = TokenRows(), 0
    for number, example in enumerate(examples, 1):
        with _template_at_fault():
            encoded = encoder.encode(example, max_length=spec.max_length, assistant_only=spec.assistant_only_loss)
        if count_learnt(encoded.trainable):
            rows.add(encoded.tokens, encoded.trainable)
        else:
            left_out += 1
        if number % 1000 == 0 and should_stop():
            break
    return rows, left_out


def count_learnt(trainable: Sequence[bool]) -> int:
    """Tokens that the loss sees: those to be learnt, less the first of the row, which nothing comes before."""
    return sum(trainable[1:])


@contextlib.contextmanager
def _template_at_fault() -> Iterator[None]:
    try:
        yield
    except (DataError, ModelError) as error:
        error.code = "bad_template"  # type: ignore[union-attr]
        raise


class Collator:
    """A micro-batch for the loop, from rows or from packed lists of them. ``join`` makes tensors of the rows."""

    def __init__(self, join: Callable[[list[Row]], dict[str, Any]]) -> None:
        self._join = join

    def __call__(self, items: list[Row] | list[Micro]) -> dict[str, Any]:
        return self._join([row for item in items for row in (item if isinstance(item, list) else [item])])


class PadJoin:
    """Rows of a micro-batch side by side, padded on the right: ``input_ids``, ``attention_mask``, ``labels``, each (N, L)."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, rows: list[Row]) -> dict[str, Any]:
        width = max(len(row["input_ids"]) for row in rows)
        return {
            "input_ids": _padded([row["input_ids"] for row in rows], width, self._pad_id),
            "attention_mask": _padded([[1] * len(row["input_ids"]) for row in rows], width, 0),
            "labels": _padded([row["labels"] for row in rows], width, IGNORED),
        }


def _padded(lists: list[list[int]], width: int, filler: int) -> torch.Tensor:
    return torch.tensor([values + [filler] * (width - len(values)) for values in lists], dtype=torch.long)
