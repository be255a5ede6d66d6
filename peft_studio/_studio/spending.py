"""The part of the studio that knows what rented machines cost, which there are now, and that somebody watches them."""

from __future__ import annotations

import threading
import time
from abc import ABC
from decimal import Decimal
from typing import TYPE_CHECKING

from peft_studio._studio.home import tell
from peft_studio._studio.launching import Launching
from peft_studio._studio.offline import BEGIN_S
from peft_studio.core.errors import StudioError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from peft_studio.core.ports.platform import Keys
    from peft_studio.core.services.rent.alarms import Alarm
    from peft_studio.core.services.rentals import RentalList, RentedMachine
    from peft_studio.core.services.spend import Spend

UNWATCHED = "Rented machines are not watched"


class Spending(Launching, ABC):
    """Dollars, and the machines behind them."""

    _watches = _starting = _glanced = False

    def spend(self, *, refresh: bool = False) -> Spend:
        """What rented machines cost today, this week and this month, by provider and by run; billed, or else estimated.

        Args:
            refresh: Ask the providers first what they have charged: that takes the place of the estimates.
        """
        from peft_studio.core.services.epochs import find_epochs
        from peft_studio.core.services.spend import build_spend

        if not self._has_rented:
            return build_spend([], time.time(), cap_usd=None)
        desk = self._machines.desk
        notes = self._machines.fetch_bills() if refresh else []
        lives = desk.lives()
        epochs = find_epochs(self._store(), {life.run_id for life in lives})
        return build_spend(lives, desk.now().wall_s, cap_usd=desk.store.month_cap(), epochs=epochs, notes=notes)

    def _find_costs(self) -> Mapping[str, Decimal]:
        from peft_studio.core.compute.ledger import total_by

        if not self._has_rented:
            return {}
        desk = self._machines.desk
        ever_s = float("inf")
        totals = total_by(desk.lives(), -ever_s, ever_s, now_s=desk.now().wall_s, of=lambda life: life.run_id)
        return {run_id: of.usd for run_id, of in totals.items()}

    @property
    def spend_cap(self) -> Decimal | None:
        """What all rented machines of a calendar month may cost, in dollars; at that point they are ended. None: no cap."""
        return self._machines.desk.store.month_cap() if self._has_rented else None

    @spend_cap.setter
    def spend_cap(self, usd: Decimal | float | str | None) -> None:
        from peft_studio.core.services.rent.caps import read_month_cap

        self._machines.desk.store.set_month_cap(None if usd is None else read_month_cap(usd))

    def rentals(self, *, refresh: bool = False) -> RentalList:
        """The machines that are rented now, or may be, and those with our label that nobody stands for. ``.end(…)`` ends one.

        Args:
            refresh: Ask every connected provider for its list first.
        """
        from peft_studio.core.services.rentals import RentalList, build_rentals

        notes = self._machines.sweep() if refresh else []
        if not self._has_rented:
            return RentalList([], [], end=self._end_machine, now_s=time.time(), notes=notes)
        try:
            self._watch_again()
        except (StudioError, OSError) as exc:  # whoever cannot start it still sees what is there
            notes = [*notes, f"{UNWATCHED}: {exc}"]
        desk, now_s = self._machines.desk, time.time()
        records = desk.store.list_open()
        lives = {record.label: desk.lives_of(record) for record in records}
        rows = build_rentals(records, desk.store.list_strays(), lives, now_s=now_s)
        alarms: list[Alarm] = desk.alarms()
        return RentalList(rows, alarms, end=self._end_machine, agree=self._agree_to, now_s=now_s, notes=notes)

    def _agree_to(self, machine: RentedMachine) -> None:
        if machine.usd_per_hour is not None:
            self._machines.desk.agree(machine.label, machine.usd_per_hour)

    def _end_machine(self, machine: RentedMachine) -> None:
        """Write down that it is to be gone, and see to it that somebody acts on it."""
        desk = self._machines.desk
        if machine.kind == "machine":
            desk.store.wish_end(machine.label, "stopped")
        else:
            for stray in desk.store.list_strays():
                if (stray.provider, stray.instance_id) == (machine.provider, machine.instance_id):
                    desk.end_stray(stray)
        self._watch_again()

    # -- nobody is to be away while a machine is there ---------------------------------------------------------------

    @property
    def _rent_folder(self) -> Path:
        return self.home / "rent"

    @property
    def _has_rented(self) -> bool:
        from peft_studio.core.services.rent.glance import has_rented

        return has_rented(self._rent_folder)

    def _watch_again(self) -> None:
        """Start the process that watches where machines may be and it is gone: after a reboot, say."""
        from peft_studio.core.services.rent.glance import is_unwatched

        if not self._watches and is_unwatched(self._rent_folder):
            self._machines.ensure_watched()

    def _connected(self, platform: str) -> None:
        """Whoever watches machines of this provider may have begun without its keys: now he gets them."""
        super()._connected(platform)
        self._hand_keys(platform)

    def _unlocked(self) -> None:
        """So he may when the vault was locked."""
        super()._unlocked()
        self._hand_keys()

    def _hand_keys(self, platform: str | None = None) -> None:
        """Give what is readable now to whoever watches machines of this provider; of any that can be asked now where it is None."""
        if not self._has_rented:
            return
        try:
            fresh = set(self._machines.rentals()) if platform is None else {platform}
            if fresh & self._machines.list_wanted() and (why := self._machines.ensure_watched()):
                tell(why)
        except (StudioError, OSError) as exc:
            tell(f"{UNWATCHED}: {exc} `peft-studio watch-rentals` watches them.")

    def _watch_rentals(self, keys: Mapping[str, Keys]) -> bool:
        """Watch in this process until no machine is left; False where another one does."""
        self._watches = True
        return self._machines.watch(keys)

    def _begin(self) -> None:
        """Besides what is begun anyway: see in the background that open records are watched, and say once what nobody stands for.

        Where there is neither, nothing is loaded.
        """
        super()._begin()
        from peft_studio.core.services.rent.glance import has_lost, is_unwatched

        with self._wiring:
            lost = not self._glanced and has_lost(self._rent_folder)
            self._glanced = True
            if self._starting or self._watches or not (lost or is_unwatched(self._rent_folder)):
                return
            self._starting = True
        threading.Thread(target=self._begin_watching, name="peft-studio rentals", daemon=True).start()

    def _begin_watching(self) -> None:
        from peft_studio.core.services.rentals import say_alarm

        time.sleep(BEGIN_S)  # a command that is over by then begins nothing; a watcher just started has its lock
        try:
            self._watch_again()
            for alarm in self._machines.desk.alarms():
                if alarm.loud:
                    tell(f"ALARM: {say_alarm(alarm)} studio.rentals() lists it, and ends it.")
        except (StudioError, OSError) as exc:
            tell(f"{UNWATCHED}: {exc} `peft-studio watch-rentals` watches them.")
        finally:
            self._starting = False
