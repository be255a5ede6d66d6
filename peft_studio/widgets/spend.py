"""The Spend panel: what rented machines cost by day, provider and run, the month's cap, and the machines that are there now, with their end.

A machine is ended only after a dialog that names it and what it costs.
"""

from __future__ import annotations

from typing import Any

from peft_studio.core.errors import RentError
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._host import Host
from peft_studio.widgets._looker import Looker
from peft_studio.widgets._money import rate
from peft_studio.widgets._spend_source import SpendSource
from peft_studio.widgets._spend_view import build_code, build_snapshot
from peft_studio.widgets._steps import find_step

_FIRST_S, _QUIET_S = 0.05, 1.0


class SpendContent(Content):
    """The dollars of one home."""

    module = "spend"
    interval_s = _FIRST_S

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._source = SpendSource(studio)
        self._looker = Looker(self._source.look, name="spend")

    def __repr__(self) -> str:
        totals = self._source.sections.get("totals")
        return f"SpendPanel({totals[2]['usd']} this month)" if totals else "SpendPanel()"

    def sections(self) -> dict[str, Any]:
        """Totals, days, providers, runs, cap, machines, alarms."""
        source = self._source
        self._looker.again(due=source.is_due)
        if not source.sections:
            return {}
        self.interval_s = _QUIET_S
        view = source.sections
        return {
            **view,
            "connected": bool(source.providers),
            "asking": source.asking,
            "said": list(dict.fromkeys([*source.warned, *source.said])),
            "code": build_code(self._studio.home, view["cap"]["value"]),
        }

    def snapshot_html(self) -> str:
        """What was spent, and what was there."""
        view = self.sections()
        return build_snapshot(view) if view else ""

    def close(self) -> None:
        """End the looking thread. Machines stay as they are."""
        self._looker.close()

    @command
    def set_cap(self, usd: str) -> None:
        """What a month may cost; nothing takes the cap away."""
        self._studio.spend_cap = usd.strip() or None
        self._source.look()

    @command
    def end(self, key: str, confirmed: bool = False) -> None:
        """Have a machine gone. ``confirmed`` comes from the dialog that has named it and its dollars."""
        if confirmed is not True:
            raise RentError("Nothing was ended.", hint="Confirm in the dialog that names the machine.")
        self._source.list_machines().end(key)
        self._source.look()

    @command
    def agree(self, key: str, shown: str) -> None:
        """Take a machine at the price that was shown, which is more than was agreed to before."""
        listed = self._source.list_machines()
        if shown not in [rate(row.usd_per_hour) for row in listed if row.label == key]:
            raise RentError("Its price is another one by now. Nothing was agreed to.", hint="Look at it again.")
        listed.agree(key)
        self._source.look()

    @command
    def fetch_bills(self) -> None:
        """Ask the providers what they have charged."""
        self._source.fetch_bills()

    @command
    def look_again(self) -> None:
        """Ask the providers for their lists."""
        self._source.sweep()
        self._source.look()

    @command
    def open_run(self, run_id: str) -> None:
        """To the run that the dollars are of."""
        self._studio.session.choose(run_id=self._studio.run(run_id).id, panel="run")

    @command
    def go(self, panel: str) -> None:
        """To another step."""
        self._studio.session.choose(panel=find_step(panel).name)
