"""What takes time behind the Compute panel: asking providers, and renting. Never on the feed's thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peft_studio.core.errors import StudioError
from peft_studio.core.ports.platform import Role
from peft_studio.core.words import age
from peft_studio.widgets._compute_view import key_of, say_rate, terms_of, title_of
from peft_studio.widgets._host import Host
from peft_studio.widgets._newest import Newest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.ports.offers import Offer
    from peft_studio.core.services.offers import OfferList
    from peft_studio.core.services.quote_list import QuoteList
    from peft_studio.core.services.quotes import OfferQuote

_SETTLED_S = 0.3  # a form that is being filled in is quoted once, after it
NOTHING_RENTED = "Nothing was rented."


class _OtherTerms(StudioError):
    """What was agreed to is on sale, but not as it was agreed to."""


@dataclass(frozen=True)
class Market:
    """What a spec would cost, as it was found. ``connected``: providers of machines that could be asked."""

    spec: ExplainedSpec
    quotes: QuoteList
    connected: tuple[str, ...]

    def find(self, key: str) -> OfferQuote | None:
        """The machine of a key."""
        return next((row for row in self.quotes if row.offer and key_of(row) == key), None)


class ComputeWork:
    """One question to all providers at a time; what was found stays until there is newer."""

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self.asking: Newest[Market] = Newest("compute", wait_s=_SETTLED_S)
        self.market: Market | None = None
        self._mark = 0

    @property
    def titles(self) -> Mapping[str, str]:
        """Providers by name, as they write themselves."""
        return {info.name: info.title for info in self._studio._catalog.list_infos(Role.COMPUTE)}

    @property
    def rows(self) -> Sequence[OfferQuote]:
        """Every machine that was found, the best first."""
        return self.market.quotes.rows if self.market else ()

    def follow(self, spec: ExplainedSpec | None) -> None:
        """See to it that there are quotes of this spec."""
        if spec is None:
            self.asking.forget()
            self.market = None
            return
        connected = tuple(self._studio._connections.list_ready(Role.COMPUTE))
        offline = bool(self._studio.offline)
        self.asking.ask((spec, connected, offline, self._mark), lambda: self._ask(spec, connected))
        self.market = self.asking.value or self.market

    def look_again(self) -> None:
        """Ask anew for what is on sale."""
        self._mark += 1

    def find(self, key: str, spec: ExplainedSpec | None) -> OfferQuote:
        """The machine of a key, for the spec that would run there.

        Raises:
            StudioError: It is not what was shown, or the spec is another.
        """
        market = self.market
        row = market.find(key) if market and spec is not None and market.spec == spec else None
        if row is None:
            raise StudioError(f"What is on sale is not what you chose. {NOTHING_RENTED}", hint="Look at it again.")
        return row

    def prove(self, rows: Sequence[OfferQuote]) -> list[Offer]:
        """The offers as they are on sale this moment, with the very terms that were shown, in their order; those that are not are left out.

        Raises:
            StudioError: The first is at other terms, which somebody should see; or none is left, and why the first is not.
        """
        shown = [row.offer for row in rows if row.offer]
        there = self._studio.offers(provider=sorted({offer.provider for offer in shown}))
        found, problems = [], []
        for offer in shown:
            try:
                found.append(self._prove(offer, there))
            except StudioError as exc:
                if isinstance(exc, _OtherTerms) and offer is shown[0]:
                    self.look_again()
                    raise
                problems.append(exc)
        if problems:
            self.look_again()
        if not found:
            raise problems[0]
        return found

    def _prove(self, shown: Offer, there: OfferList) -> Offer:
        title = title_of(shown.provider, self.titles)
        if why := {**there.missing, **there.old}.get(shown.provider):
            raise StudioError(
                f"{title} does not say what it costs now. {NOTHING_RENTED}", hint=why.partition("because: ")[2] or why
            )
        found = next((one for one in there if (one.provider, one.id) == (shown.provider, shown.id)), None)
        if found is None or found.stock == "none":
            raise StudioError(f"It is sold out at {title} now. {NOTHING_RENTED}", hint="Choose another machine.")
        if terms_of(found) == terms_of(shown):
            return found
        what = "Its terms are others now."
        if found.usd_per_hour != shown.usd_per_hour:
            seen = age((found.seen_at - shown.seen_at).total_seconds())
            what = f"It costs {say_rate(found)} an hour now, and {say_rate(shown)} {seen}."
        raise _OtherTerms(f"{what} {NOTHING_RENTED}", hint="Look at the new total, then choose again.")

    def _ask(self, spec: ExplainedSpec, connected: tuple[str, ...]) -> Market:
        return Market(spec, self._studio.quotes(spec, measure=False), connected)
