"""How long providers' machines really took to start, and to install: a small table of this home, written by launches, read by quotes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from peft_studio.core.estimators import Estimate
from peft_studio.core.services.table import Table
from peft_studio.core.system import locked, write_private
from peft_studio.core.words import age, duration

FILE = "start_history.json"
MOST = 500  # the newest; a provider of last year is another provider
ENOUGH = 3  # before the rest of a provider says more than the card itself
# Where nothing was seen yet. Users of these providers tell of half a minute with the image at hand, and of more than ten where it was not.
ASSUMED = Estimate(120.0, 30.0, 900.0, "s", "assumed, as none was started there from this home yet")


@dataclass(frozen=True, slots=True)
class Start:
    """One start. ``seconds``: from the request to buy until what we run there answered; ``install_s``: what it then installed for."""

    provider: str
    gpu: str
    seconds: float
    install_s: float | None = None
    at: float = 0.0


class Starts(Table[Start]):
    """The newest first."""

    HEADS = ("provider", "gpu", "started in", "installed in", "when")
    nothing = "No machine was started from this home yet."

    def cells(self, row: Start) -> tuple[str, ...]:
        """A row's texts."""
        installed = "—" if row.install_s is None else duration(row.install_s)
        return row.provider, row.gpu, duration(row.seconds), installed, age(time.time() - row.at)


def record_start(home: Path, provider: str, gpu: str, *, seconds: float, install_s: float | None = None) -> None:
    """Keep how long one took. ``gpu``: as the offer writes it. Safe from several processes."""
    home.mkdir(parents=True, exist_ok=True)
    with locked(home / ".start_history.lock"):
        kept = [*start_history(home)][: MOST - 1]
        made = Start(provider, gpu, float(seconds), install_s, time.time())
        write_private(home / FILE, json.dumps([asdict(one) for one in [made, *kept]]) + "\n")


def start_history(home: Path) -> Starts:
    """What was kept; empty where there is nothing, or nothing that can be read."""
    try:
        found = json.loads((home / FILE).read_text(encoding="utf-8"))
        return Starts([Start(**one) for one in found])
    except (OSError, ValueError, TypeError):
        return Starts([])


def estimate_start(history: Sequence[Start], provider: str, gpu: str | None) -> Estimate:
    """Seconds until a machine answers: of this card at this provider, else of this provider, else assumed."""
    here = [one for one in history if one.provider == provider]
    same = [one for one in here if one.gpu == gpu]
    used = same if len(same) >= ENOUGH or len(same) == len(here) else here
    if not used:
        return ASSUMED
    seconds = sorted(one.seconds for one in used)
    what = "this card" if used is same else "any card"
    basis = f"{len(used)} start{'s' if len(used) > 1 else ''} of {what} at this provider"
    middle = seconds[len(seconds) // 2]
    if len(used) < ENOUGH:  # one start is no range
        return Estimate(middle, min(ASSUMED.low, seconds[0]), max(ASSUMED.high, seconds[-1]), "s", basis)
    return Estimate(middle, seconds[len(seconds) // 10], seconds[-1 - len(seconds) // 10], "s", basis)


def find_install_s(history: Sequence[Start], provider: str) -> list[float]:
    """What installing took at a provider, shortest first."""
    return sorted(one.install_s for one in history if one.provider == provider and one.install_s is not None)
