"""Found models as a user meets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peft_studio.core.ports.registry import Query, RegistryModel
from peft_studio.core.services.model_fit import ASSUMED_TOKENS, WEIGHTS_ALONE, ModelFit
from peft_studio.core.services.sale_fit import SaleFit
from peft_studio.core.services.table import Table

if TYPE_CHECKING:
    import pandas

Fits = Mapping[tuple[str, str], ModelFit | SaleFit]
Judge = Callable[[Sequence[RegistryModel], Fits], dict[tuple[str, str], ModelFit | SaleFit]]
_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


@dataclass(frozen=True, slots=True)
class Part:
    """One registry's share of an answer.

    Attributes:
        next_cursor: Where its next page begins.
        why_not: Why it gave none now.
        as_of: How old what it shows is, where that is of before.
        turn: Its place among those that take turns in the list.
    """

    registry: str
    models: tuple[RegistryModel, ...] = ()
    next_cursor: str | None = None
    why_not: str = ""
    as_of: str = ""
    turn: int = 0

    @property
    def count(self) -> int:
        return len(self.models)

    def followed_by(self, page: Part) -> Part:
        """With the next page behind it. What moved from page to page in the meantime is not shown twice."""
        known = {model.id for model in self.models}
        models = (*self.models, *(model for model in page.models if model.id not in known))
        return Part(self.registry, models, page.next_cursor, page.why_not, page.as_of or self.as_of, self.turn)


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

    def __init__(
        self,
        models: Sequence[RegistryModel],
        parts: Sequence[Part],
        query: Query,
        *,
        more: Callable[[], ModelList] | None = None,
    ) -> None:
        self.parts, self.query = tuple(parts), query
        self.fits: Fits = {}
        self.fits_on = ""
        self._more = more
        self._ages = {part.registry: part.as_of for part in parts}
        super().__init__(models, notes=[_note(part) for part in parts if part.why_not])
        if any(self._ages.values()):
            self.HEADS = (*self.HEADS, "as of")

    @property
    def has_more(self) -> bool:
        """Whether :meth:`more` would bring some."""
        return any(part.next_cursor for part in self.parts) or sum(part.count for part in self.parts) > len(self)

    def more(self) -> ModelList:
        """These and the next ``limit`` of them. Asks registries for their next page where they have one; the same list at the end."""
        return self._more() if self._more and self.has_more else self

    def with_fits(
        self,
        judge: Judge,
        on: str,
        *,
        known: Fits | None = None,
    ) -> ModelList:
        """The same with a column more, and so are its further pages.

        Args:
            judge: The fits of models; what is known of them already is handed to it.
            on: The place's name.
        """
        fits = judge(self.rows, known or {})

        def more() -> ModelList:
            return self.more().with_fits(judge, on, known=fits)

        made = ModelList(self.rows, self.parts, self.query, more=more)
        made.fits, made.fits_on = fits, on
        made.HEADS = (*made.HEADS, f"fits {on}")
        alone = sum(fit.way == WEIGHTS_ALONE for fit in fits.values())
        rest = f"; of {alone} the weights alone were looked at" if alone else ""
        made.notes = (*made.notes, f"Fits for training by defaults with rows of {ASSUMED_TOKENS:,} tokens{rest}.")
        return made

    @property
    def missing(self) -> dict[str, str]:
        """Registries that gave nothing new, with the reason."""
        return {part.registry: part.why_not for part in self.parts if part.why_not}

    def age(self, row: RegistryModel) -> str:
        """How old a row is, in words; empty for what was asked now."""
        return self._ages.get(row.registry, "")

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
            *([self.age(row) or "now"] if any(self._ages.values()) else []),
            *([str(self.fits.get((row.registry, row.id), "—"))] if self.fits_on else []),
        )  # fmt: skip

    def to_pandas(self) -> pandas.DataFrame:
        """One row a model: every field of it, and how old the answer is."""
        import pandas

        rows = [{**row.model_dump(), "as_of": self.age(row) or "now"} for row in self.rows]
        return pandas.DataFrame(rows, columns=[*RegistryModel.model_fields, "as_of"])


def _note(part: Part) -> str:
    return f"{part.registry}: {part.why_not}" + (f" Here are {part.count} {part.as_of}." if part.as_of else "")


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
