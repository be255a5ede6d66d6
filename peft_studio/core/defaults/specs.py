"""Building and changing specs so that derived fields follow, and chosen fields stay."""

from __future__ import annotations

from typing import Any, Self

from peft_studio.core.defaults.default import Default
from peft_studio.core.defaults.derive import derive_defaults, explain_defaults, explain_spec
from peft_studio.core.defaults.rate import Alternative, list_rate_alternatives
from peft_studio.core.errors import SpecError, nearest
from peft_studio.core.markup import block, table
from peft_studio.core.spec import METHODS, Basis, RunSpec

NOT_CHOSEN = frozenset({"basis", "chosen", "version"})  # bookkeeping of the spec itself
GIVEN = frozenset({"model", "data"})  # always a person's, so never listed as chosen


class ExplainedSpec(RunSpec):
    """A run spec that knows why its fields have their values: what ``studio.spec()`` returns."""

    @classmethod
    def derive(cls, *, basis: Basis, **fields: Any) -> Self:
        """A spec from what the user gave; every other field a default derived from the facts.

        Raises:
            SpecError: A field is unknown (the nearest name is given) or out of range.
        """
        for name in fields:
            if name not in cls.model_fields or name in NOT_CHOSEN:
                choices = set(cls.model_fields) - NOT_CHOSEN
                raise SpecError(f"A run spec has no field {name!r}.", hint=nearest(name, choices), fields=(name,))
        method = fields.get("method", "lora")
        if not isinstance(method, str) or method not in METHODS:
            raise SpecError(f"There is no method {method!r}.", hint=nearest(str(method), METHODS), fields=("method",))
        chosen = {name: value for name, value in fields.items() if name not in GIVEN}
        try:
            derived = {name: default.value for name, default in derive_defaults(basis, chosen).items()}
        except (TypeError, ValueError, ArithmeticError):  # computed from what was given, so that is what is wrong
            cls.build(**{**fields, "basis": basis})
            raise
        return cls.build(**{**derived, **fields, "basis": basis, "chosen": frozenset(chosen)})

    def replace(self, **changes: Any) -> Self:
        """A new spec with these fields changed. Fields that nobody has set are derived again; the others stay."""
        kept = {name: getattr(self, name) for name in self.chosen | GIVEN}
        basis = changes.pop("basis", self.basis)
        return self.derive(basis=basis, **{**kept, **changes})

    @property
    def chosen_values(self) -> dict[str, Any]:
        """The fields that a person has set, with their values."""
        return {name: getattr(self, name) for name in self.chosen}

    def without(self, *names: str) -> Self:
        """A new spec in which these fields have their defaults again."""
        kept = {name: getattr(self, name) for name in (self.chosen - set(names)) | GIVEN}
        return self.derive(basis=self.basis, **kept)

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        """Other ways that have a source of their own, for whoever looks beyond the defaults: ``replace(**one.changes)``."""
        return list_rate_alternatives(self.method, self.basis)

    def explain_defaults(self) -> Explanation:
        """What each field would be if nobody had set it, whether or not somebody has, and why."""
        return Explanation(explain_defaults(self))

    def explain(self) -> Explanation:
        """Every field: value, why, source."""
        return Explanation(explain_spec(self))


class Explanation(dict[str, Default]):
    """Field → :class:`Default`; prints as a table."""

    def __repr__(self) -> str:
        rows = [(name, _short(default.value), default.why, default.source) for name, default in self.items()]
        name_width = max(len(row[0]) for row in rows)
        value_width = max(len(row[1]) for row in rows)
        return "\n".join(
            f"{name:<{name_width}}  {value:<{value_width}}  {why}  [{source}]" for name, value, why, source in rows
        )

    def _repr_html_(self) -> str:
        rows = [(name, _short(default.value), default.why, default.source) for name, default in self.items()]
        return block([table(("field", "value", "why", "source"), rows)])


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"
