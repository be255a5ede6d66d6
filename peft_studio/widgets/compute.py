"""The Compute panel: what the draft would cost on this machine and on every one that is on sale, and the one question before one is rented.

Nothing is bought before somebody confirms a machine that was shown, at the terms that were shown.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.errors import RunStateError, StudioError
from peft_studio.core.services.quotes import OfferQuote
from peft_studio.widgets._compute_choice import PAGE, ComputeChoice
from peft_studio.widgets._compute_next import find_next, launch_code, pick_next, view_next
from peft_studio.widgets._compute_proposal import build_proposal, read_typed
from peft_studio.widgets._compute_view import (
    MOST_REGIONS,
    NAME,
    build_snapshot,
    key_of,
    title_of,
    view_notes,
    view_notices,
    view_row,
)
from peft_studio.widgets._compute_work import ComputeWork, Market
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._host import Host
from peft_studio.widgets._steps import find_step
from peft_studio.widgets._text import plain
from peft_studio.widgets._train_code import train_code
from peft_studio.widgets._train_work import is_current

_RESTLESS_S, _QUIET_S = 0.2, 1.0


class ComputeContent(Content):
    """The machines for the session's draft."""

    module = "compute"
    interval_s = _RESTLESS_S

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._work = ComputeWork(studio)
        self._choice = ComputeChoice()
        self._lock = threading.RLock()
        self._renting, self._started = "", ""  # where a machine is being rented now, the run that was started last

    def __repr__(self) -> str:
        draft = self._draft()
        return f"ComputePanel({_say_draft(draft)!r})" if draft else "ComputePanel()"

    def sections(self) -> dict[str, Any]:
        """The draft, the machines that are wanted, and who did not answer."""
        with self._lock:
            draft, now = self._draft(), self._studio.session.now
            self._work.follow(draft)
            busy, market = self._work.asking.busy, self._work.market
            self.interval_s = _RESTLESS_S if busy or self._renting else _QUIET_S
            offline = self._studio.offline
            missing = [name for name in ("model", "data") if not getattr(now, name)]
            return {
                "missing": missing if draft is None and missing else [] if draft else ["train"],
                "draft": plain(draft.name or draft.model, limit=NAME) if draft else "",
                "recipe": [draft.method, draft.rank] if draft else ["", 0],
                "state": "busy" if busy else "ready" if market else "failed" if self._work.asking.problem else "none",
                "current": market is not None and market.spec == draft,
                "problem_found": None if market else self._work.asking.problem,
                "market": self._view_market(market) if market else None,
                "asked": {**self._choice.filter.__dict__, "by": self._choice.by, "descending": self._choice.descending},
                "offline": plain(offline) if isinstance(offline, str) else "set by hand" if offline else "",
                "renting": self._renting,
                "started": self._started,
                "code": self._code(f"studio.quotes(spec{self._choice.filter.arguments})"),
            }

    def snapshot_html(self) -> str:
        """The machines when the notebook was saved."""
        view = self.sections()
        if not view["market"]:
            return build_snapshot("Compute: nothing has been looked at yet", [], [])
        return build_snapshot(f"Compute for {view['draft']}", view["market"]["rows"], view["market"]["notices"])

    # -- the list ---------------------------------------------------------------------------------------------------

    @command
    def narrow(
        self, gpu: str = "", spot: str = "", provider: str = "", *, region: str = "", fits: bool = False
    ) -> None:
        """List only some machines."""
        with self._lock:
            self._choice.narrow(gpu=gpu, spot=spot, provider=provider, region=region, fits=fits)

    @command
    def sort(self, by: str, descending: bool = False) -> None:
        """Order them otherwise."""
        with self._lock:
            self._choice.sort(by, descending=descending)

    @command
    def more(self) -> None:
        """List some more."""
        with self._lock:
            self._choice.most += PAGE

    @command
    def look_again(self) -> None:
        """Ask every provider once more."""
        self._work.look_again()

    @command
    def go(self, panel: str) -> None:
        """To another step, for what is missing."""
        self._studio.session.choose(panel=find_step(panel).name)

    # -- renting ----------------------------------------------------------------------------------------------------

    @command
    def propose(
        self, key: str, max_usd: str | None = None, max_hours: str | None = None, without: Sequence[str] = ()
    ) -> dict[str, Any]:
        """What would be agreed to, for the dialog. Buys nothing. ``without``: keys of machines that are not to be tried next."""
        with self._lock:
            row, draft = self._find(key)
            rows = self._work.rows
        made = build_proposal(row, draft, self._work.titles, max_usd=max_usd, max_hours=max_hours)
        found = find_next(row, rows, made["at_most"])
        then = [one.row for one in found if key_of(one.row) not in without]
        listed = [view_next(one, self._work.titles, on=one.row in then) for one in found]
        return {**made, "next": listed, "code": self._code(launch_code([row, *then], made))}

    @command
    def rent(self, key: str, max_usd: str, max_hours: str, then: Sequence[str] = ()) -> dict[str, str]:
        """Rent what was confirmed under this key and start the run there; where it does not start, try those of ``then`` in order.

        What is on sale is looked at once more, before.
        """
        with self._lock:
            if self._renting:
                raise RunStateError("A machine is being rented.", hint="Wait until the run is there.")
            row, _ = self._find(key)
            assert row.offer is not None
            caps = read_typed(row.offer, max_usd, max_hours)
            rows = [row, *pick_next(row, self._work.rows, caps.budget_usd, then)]
            self._started = ""
            self._renting = title_of(row.offer.provider, self._work.titles)
        try:
            offers = self._work.prove(rows)
            run = self._studio.launch(
                row.spec, compute=offers, max_usd=caps.budget_usd, max_hours=caps.lifetime_s / 3600
            )
        finally:
            self._renting = ""
        self._started = run.id
        self._studio.session.choose(panel="run", run_id=run.id)
        self.picture_due = True
        return {"run_id": run.id}

    # -- as the page shows it ---------------------------------------------------------------------------------------

    def _draft(self) -> ExplainedSpec | None:
        now = self._studio.session.now
        return now.draft if is_current(now) else None

    def _find(self, key: str) -> tuple[OfferQuote, ExplainedSpec]:
        draft = self._draft()
        row = self._work.find(key, draft)
        assert draft is not None  # else it was not found
        if not row.is_to_be_had:
            raise StudioError("It is sold out. Nothing was rented.", hint="Choose another machine.")
        if row.quote is not None and row.quote.fit == "wont-fit":
            raise StudioError("It would not fit there. Nothing was rented.", hint="Choose a larger card.")
        return row, draft

    def _view_market(self, market: Market) -> dict[str, Any]:
        titles, quotes = self._work.titles, market.quotes
        found = self._choice.pick(quotes.rows)
        keys = {(row.provider, row.offer.id): key_of(row) for row in quotes if row.offer}
        names = sorted({row.provider for row in quotes if row.offer})
        regions = {plain(row.offer.region, limit=NAME) for row in quotes if row.offer and row.offer.region}
        return {
            "rows": [view_row(row, titles, keys) for row in found[: self._choice.most]],
            "total": sum(row.offer is not None for row in found),
            "listed": len(found),
            "every": sum(row.offer is not None for row in quotes),
            "connected": [title_of(name, titles) for name in market.connected],
            "providers": [{"name": plain(name, limit=NAME), "title": title_of(name, titles)} for name in names],
            "regions": sorted(regions)[:MOST_REGIONS],
            "notices": view_notices(quotes, titles),
            "notes": view_notes(quotes),
            "seen_at": min((row.offer.seen_at.timestamp() for row in quotes if row.offer), default=None),
        }

    def _code(self, then: str) -> str:
        now = self._studio.session.now
        return train_code(self._studio.home, self._draft(), now.model, now.data, then=then)


def _say_draft(draft: ExplainedSpec) -> str:
    name = draft.name or draft.model
    return plain(f"{name}, {draft.method} r{draft.rank}", limit=NAME)
