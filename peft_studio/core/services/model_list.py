"""Found models as a user meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peft_studio.core.ports.registry import Query, RegistryModel
from peft_studio.core.services.model_fit import ASSUMED, ModelFit
from peft_studio.core.services.table import Table

if TYPE_CHECKING:
    import pandas

_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


@dataclass(frozen=True, slots=True)
class Part:
    """One registry's share of an answer. ``why_not``: why it has none; ``next_cursor``: where its next page begins."""

    registry: str
    count: int
    next_cursor: str | None = None
    why_not: str = ""


class ModelList(Table[RegistryModel]):
    """Models of several registries. ``parts`` say what came from where, ``missing`` what did not come and why.

    ``fits``: by registry and id, whether they can be trained where that was asked for; ``fits_on`` names the place.
    """

    HEADS: tuple[str, ...] = (
        "model",
        "registry",
        "parameters",
        "size",
        "licence",
        "downloads",
        "gated",
        "quantised",
        "updated",
    )
    nothing = "No models."

    def __init__(self, models: Sequence[RegistryModel], parts: Sequence[Part], query: Query) -> None:
        self.parts, self.query = tuple(parts), query
        self.fits: Mapping[tuple[str, str], ModelFit] = {}
        self.fits_on = ""
        super().__init__(models, notes=[f"{part.registry}: {part.why_not}" for part in parts if part.why_not])

    def with_fits(self, fits: Mapping[tuple[str, str], ModelFit], on: str) -> ModelList:
        """The same with a column more."""
        made = ModelList(self.rows, self.parts, self.query)
        made.fits, made.fits_on = dict(fits), on
        made.HEADS = (*self.HEADS, f"fits {on}")
        more = len(self.rows) - len(fits)
        rest = f"; the other {more} were not looked up" if more else ""
        made.notes = (*self.notes, f"Fits for training with {ASSUMED}{rest}.")
        return made

    @property
    def missing(self) -> dict[str, str]:
        """Registries that gave nothing, with the reason."""
        return {part.registry: part.why_not for part in self.parts if part.why_not}

    def cells(self, row: RegistryModel) -> tuple[str, ...]:
        """A row's texts; "—" for what is not known."""
        downloads = short_count(row.downloads)
        if row.downloads is not None and row.downloads_over:
            downloads += f" ({row.downloads_over})"
        name = row.id if row.title is None else f"{row.title} ({row.id})"
        return (
            name, row.registry, short_count(row.parameters), size(row.size_bytes), row.licence or "—", downloads,
            {True: "yes", False: "no", None: "—"}[row.gated], row.quantisation or "—",
            f"{row.updated_at:%d %b %Y}" if row.updated_at else "—",
            *([str(self.fits.get((row.registry, row.id), "—"))] if self.fits_on else []),
        )  # fmt: skip

    def to_pandas(self) -> pandas.DataFrame:
        """One row a model, every field of it."""
        import pandas

        return pandas.DataFrame([row.model_dump() for row in self.rows], columns=list(RegistryModel.model_fields))


def short_count(number: int | None) -> str:
    """``135M``, ``1.7B``; "—" where it is not known."""
    if number is None:
        return "—"
    for unit, letter in _UNITS:
        if number >= unit:
            scaled = number / unit
            return f"{scaled:.1f}{letter}" if scaled < 9.95 else f"{scaled:.0f}{letter}"
    return str(number)


def size(size_bytes: int | None) -> str:
    """Of files, as registries show it: ``269 MB``."""
    if size_bytes is None:
        return "—"
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
