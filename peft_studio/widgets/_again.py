"""How a rented run that has ended goes on: what is asked before, in dollars, and the Python that does the same."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from peft_studio.core.errors import OverBudget, StudioError
from peft_studio.core.ports.compute import RunMeter
from peft_studio.core.runs.checkpoints import list_steps
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.state import RunState
from peft_studio.core.services.rent.again import check_cap, least_usd, suggest_again_usd
from peft_studio.core.services.rent.caps import read_usd
from peft_studio.core.words import usd
from peft_studio.widgets._code import resume_code
from peft_studio.widgets._money import note_of, rate, title_of
from peft_studio.widgets._text import plain

_WORDS = 300


def view_again(
    meter: RunMeter | None, state: RunState, folder: RunFolder, titles: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any] | None:
    """The question as it is first asked; None where going on costs nothing."""
    if meter is None or not meter.dearest_usd_per_hour:
        return None
    cap, spent = meter.cap_usd, meter.spent.usd
    # Saving begins no earlier than with half of it left: what was stopped before that met the cap of the month.
    met = meter.ended == "budget" and cap is not None and 2 * spent >= cap
    short = cap is not None and (met or cap < least_usd(spent, meter.dearest_usd_per_hour))
    step = max(list_steps(folder.checkpoints), default=0)  # what its log tells of may have been lost with its machine
    share = min(1.0, step / state.plan.total_steps) if state.plan and state.plan.total_steps else None
    suggested = suggest_again_usd(spent, meter.dearest_usd_per_hour, share=share, cap_usd=cap)
    typed = suggested if short else cap
    return {
        "short": short,
        "cap": None if cap is None else usd(cap),
        "spent": f"{usd(spent)} so far" + (f", {note_of(meter.spent)}" if note_of(meter.spent) else ""),
        "machine": plain(
            f"{meter.gpu or 'A machine'} at {title_of(meter.provider, titles)}, or what was to be tried next",
            limit=_WORDS,
        ),
        "rate": f"{rate(meter.dearest_usd_per_hour)} at most",
        "from_step": step,
        "first": propose(meter, folder, "" if typed is None else f"{typed:.2f}"),
    }


def propose(meter: RunMeter, folder: RunFolder, max_usd: str) -> dict[str, Any]:
    """What a cap comes to, or why it is none. An empty one: as it stands, and no cap where there was none."""
    typed, spent = max_usd.strip(), meter.spent.usd
    found: dict[str, Any] = {"max_usd": plain(max_usd, limit=40), "at_most": "", "more": "", "problem": None}
    try:
        cap = read_usd(typed) if typed else meter.cap_usd
        if cap is not None:
            check_cap(cap, folder.id, spent_usd=spent, usd_per_hour=meter.dearest_usd_per_hour, is_new=bool(typed))
            found |= {"at_most": _exact(cap), "more": _exact(cap - spent)}
    except OverBudget:
        least = least_usd(spent, meter.dearest_usd_per_hour)
        found["problem"] = (
            f"It has cost {usd(spent)} already. Give it {_exact(least)} or more: less pays for no machine."
        )
        cap = None
    except StudioError as exc:
        found["problem"] = plain(exc.message, limit=_WORDS)  # the hint is Python
        cap = None
    says = "" if cap is None or cap == meter.cap_usd else str(cap)
    return {**found, "code": resume_code(folder, says)}


def _exact(amount: Decimal) -> str:
    return f"${amount:,.2f}"
