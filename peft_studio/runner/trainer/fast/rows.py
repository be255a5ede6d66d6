"""Rows to micro-batches without padding: which rows go together, and how they lie in one flat row of tokens.

Owns the layout that the rest of this package reads. Knows nothing of models, and nothing of how rows were made.

Legend: T tokens of the flat row, M trained predictions, S rows in the micro-batch, P tokens of a shared prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

IGNORED = -100  # the label of a token that is read but not trained, as in torch and transformers


class FlatCollator:
    """Lay the rows of a micro-batch end to end in one row, with nothing between them.

    Each row is ``{"input_ids": list[int], "labels": list[int]}`` with labels at their own token (transformers shifts them,
    and so does this) and -100 where nothing is trained. What comes out:

    - ``input_ids``, ``labels``, ``position_ids`` (1, T): positions restart with each row; the first label of a row is -100,
      because nothing of its own row comes before it.
    - ``segment_lengths`` (S,): where the rows end.
    - ``trained_positions``, ``shift_labels`` (1, M): at which flat position which token is to be predicted. Trainer counts
      ``shift_labels`` for ``num_items_in_batch``, so the loss is normalised as in its own loop.
    - ``shared_prefix`` (1,): P, 0 unless ``share_prefix``.

    Args:
        share_prefix: Store the tokens that all rows begin with (a system prompt) once. In a causal model every row computes
            the same values there, so loss and gradients do not change; with dropout each row would draw its own noise, so
            leave this off then.
    """

    def __init__(self, *, share_prefix: bool = False) -> None:
        self.share_prefix = share_prefix

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Lay out one micro-batch.

        Raises:
            ValueError: There is no row, a row is empty, or its labels are not as many as its tokens.
        """
        _check(rows)
        shared = common_prefix(rows) if self.share_prefix else 0
        tokens, labels, positions = list(rows[0]["input_ids"][:shared]), [IGNORED] * shared, list(range(shared))
        trained: list[int] = []
        targets: list[int] = []
        for row in rows:
            # A prediction at j stands on token j - 1, which lies in the prefix or in this row's own stretch.
            moved = len(tokens) - shared
            for at, label in enumerate(row["labels"]):
                if at and label != IGNORED:
                    trained.append(at - 1 if at <= shared else at - 1 + moved)
                    targets.append(label)
            tokens += row["input_ids"][shared:]
            labels += row["labels"][shared:] if shared else [IGNORED, *row["labels"][1:]]
            positions += range(shared, len(row["input_ids"]))
        return {
            "input_ids": torch.tensor([tokens]),
            "labels": torch.tensor([labels]),
            "position_ids": torch.tensor([positions]),
            "segment_lengths": torch.tensor([len(row["input_ids"]) - shared for row in rows]),
            "shared_prefix": torch.tensor([shared]),
            "trained_positions": torch.tensor([trained], dtype=torch.long),
            "shift_labels": torch.tensor([targets], dtype=torch.long),
        }


def _check(rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        raise ValueError("A micro-batch needs at least one row.")
    for number, row in enumerate(rows):
        if not row["input_ids"]:
            raise ValueError(f"Row {number} of the micro-batch has no token.")
        if len(row["labels"]) != len(row["input_ids"]):
            raise ValueError(
                f"Row {number} of the micro-batch has {len(row['input_ids'])} tokens and {len(row['labels'])} labels."
            )


def common_prefix(rows: Sequence[dict[str, Any]]) -> int:
    """How many tokens all rows begin with; at least one token of every row is left out, so that each keeps a stretch of its own."""
    if len(rows) < 2:
        return 0
    first, last = min(row["input_ids"] for row in rows), max(row["input_ids"] for row in rows)
    most = min(len(row["input_ids"]) for row in rows) - 1
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), most)
    return min(same, most)


def pack_rows(
    lengths: Sequence[int], capacity: int, order: Sequence[int], *, window_rows: int = 256
) -> list[list[int]]:
    """Group rows into micro-batches of at most ``capacity`` tokens, first-fit decreasing within a window.

    A pure function of its arguments, so a resumed run that has the same order gets the same micro-batches. Bins come in the
    order in which their first row stood in ``order``, so shuffling survives the packing.

    Args:
        lengths: Tokens of each row, by row number.
        capacity: Most tokens in a micro-batch; a row longer than this is alone in one.
        order: Row numbers as the epoch visits them.
        window_rows: Rows looked at together. Wider fills better and shuffles less.
    """
    packed: list[list[int]] = []
    for start in range(0, len(order), window_rows):
        places = range(start, min(start + window_rows, len(order)))
        bins: list[list[int]] = []
        free: list[int] = []
        for place in sorted(places, key=lambda place: (-lengths[order[place]], place)):
            length = lengths[order[place]]
            target = next((number for number, room in enumerate(free) if room >= length), None)
            if target is None:
                bins.append([place])
                free.append(capacity - length)
            else:
                bins[target].append(place)
                free[target] -= length
        packed += [[order[place] for place in group] for group in sorted(sorted(group) for group in bins)]
    return packed
