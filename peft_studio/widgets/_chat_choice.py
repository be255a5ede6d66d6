"""Who may be asked in the Chat panel: bases, and the adapters of this home's runs or of any folder on one base."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import ChatError, RunNotFound, StudioError
from peft_studio.core.models.adapter_files import check_adapter, read_adapter, read_base_shape
from peft_studio.core.models.adapters import judge
from peft_studio.core.models.catalog import EMBEDDED
from peft_studio.core.models.prepared import find_prepared, settle_name
from peft_studio.widgets._host import Host

if TYPE_CHECKING:
    from peft_studio.core.runs.index import RunRow

SLOTS = 8  # the base and seven adapters: as many as there are colours
FIRST = 3  # adapters that stand there from the start, newest first
_READ_S = 5.0  # how long a list of runs counts as fresh; a studio that nobody uses must cost next to nothing
_RUNS = 200


@dataclass(slots=True, eq=False)
class Slot:
    """One who may be asked. ``run_id`` or ``path`` says where an adapter is; the base has neither.

    ``doubt`` is why it may be one of another base; ``same_base`` is a person's word that it is not.
    """

    number: int
    name: str | None
    on: bool
    detail: str = ""
    run_id: str | None = None
    path: Path | None = None
    doubt: str = ""
    same_base: bool = False

    @property
    def title(self) -> str:
        return self.name or "Base model"

    @property
    def key(self) -> str:
        """Whose answers these are, whatever it is called here."""
        return self.run_id or str(self.path or "")


class Choice:
    """The base model and those who may be asked on it. Used under its owner's lock."""

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._read_at = -_READ_S
        self._followed: tuple[str | None, str | None] = (None, None)  # the session's model and run when last looked at
        self._awaited: str | None = None  # the session's run, until it has an adapter for this base
        self.rows: list[RunRow] = []
        self.model: str | None = None
        self.slots: list[Slot] = [Slot(1, None, True)]

    def follow(self) -> bool:
        """Take in what the session has chosen and which runs have an adapter. Returns whether the base is another one."""
        now = self._studio.session.now
        changed = (now.model, now.run_id) != self._followed
        if changed or time.monotonic() - self._read_at >= _READ_S:
            self.rows = self._with_adapter()
            self._read_at = time.monotonic()
        wanted = settle_name(now.model) if now.model else self._default(now.run_id)
        if now.run_id != self._followed[1]:
            self._awaited = now.run_id
        self._followed = (now.model, now.run_id)
        other = wanted is not None and wanted != self.model
        if other:
            self._start(wanted)
        if self._awaited in {row.id for row in self.offered()}:
            self.add_run(str(self._awaited))
            self._awaited = None
        elif len(self.slots) == 1 and self.offered():
            self._fill()
        return other

    def _with_adapter(self) -> list[RunRow]:
        """Runs that have completed, and those that were stopped and saved; newest first."""
        completed, stopped = (self._studio.runs(status=state, limit=_RUNS).rows for state in ("completed", "stopped"))
        found = [row for row in (*completed, *stopped) if row.has_adapter]
        return sorted(found, key=lambda row: (row.created_at, row.id), reverse=True)

    def _default(self, run_id: str | None) -> str | None:
        """The base of the run chosen, else the one that is shown already, else that of the newest run with an adapter."""
        if run_id is not None and run_id != self._followed[1]:
            try:
                return self._studio.run(run_id).spec.model
            except (RunNotFound, OSError):  # deleted since
                return self.model
        return self.model or (self.rows[0].model if self.rows else None)

    def _start(self, model: str | None) -> None:
        self.model = model
        self.slots = [Slot(1, None, True)]
        self._fill()

    def _fill(self) -> None:
        for row in self.offered()[:FIRST]:
            self.add(self._slot_of(row, on=len(self.slots) == 1))

    def models(self) -> list[str]:
        """Bases worth offering: this one, those of runs with an adapter, and those that need no network."""
        known = [self.model] if self.model else []
        return list(dict.fromkeys([*known, *(row.model for row in self.rows), *EMBEDDED]))

    def offered(self) -> list[RunRow]:
        """Runs with an adapter on this base, newest first."""
        return [row for row in self.rows if row.model == self.model]

    def add_run(self, run_id: str) -> None:
        """Have the adapter of a run answer."""
        row = next((row for row in self.offered() if row.id == run_id), None)
        if row is None:
            raise ChatError(
                f"Run {run_id} has no adapter for this base.", hint="Choose a run of this base that has one."
            )
        self.add(self._slot_of(row, on=True))

    def check_folder(self, path: Path, *, same_base: bool = False) -> Slot:
        """The adapter of a folder, once it is known to fit; ``add`` makes it answer. Reads files.

        Raises:
            AdapterMismatch: It is no adapter, or one of another base.
        """
        if self.model is None:
            raise ChatError("No base model is chosen.", hint="Choose one first.")
        folder = find_prepared(self.model, self._studio.home)
        own = path.parent.name if path.name == "adapter" else path.name
        slot = Slot(0, own, True, path=path, same_base=same_base)
        if folder:
            base = read_base_shape(folder)
            shape = check_adapter(path, base, name=own, same_base=same_base)
            slot.doubt = "" if same_base else judge(shape, base).message
        else:  # a base that is not on this machine yet is compared when it is loaded
            shape = read_adapter(path)
        slot.detail = f"rank {shape.config['r']}" if isinstance(shape.config.get("r"), int) else ""
        return slot

    def _slot_of(self, row: RunRow, *, on: bool) -> Slot:
        name = row.name or f"{datetime.fromtimestamp(row.created_at, UTC):%d %b %H:%M}"
        return Slot(0, name, on, detail=row.method, run_id=row.id)

    def add(self, new: Slot) -> None:
        """Give it a name and a number of its own; when all are taken, the place of one that is not asked."""
        for slot in self.slots:
            if slot.key == new.key:
                slot.on, slot.doubt, slot.same_base = True, new.doubt, new.same_base
                return
        if len(self.slots) >= SLOTS:
            unused = next((slot for slot in self.slots[1:] if not slot.on), None)
            if unused is None:
                raise ChatError(f"{SLOTS} are asked already.", hint="Leave one out first.")
            self.slots.remove(unused)
        names, numbers = {slot.name for slot in self.slots}, {slot.number for slot in self.slots}
        first, count = new.name, 2
        while new.name in names:
            new.name, count = f"{first} ({count})", count + 1
        new.number = next(number for number in range(1, SLOTS + 1) if number not in numbers)
        self.slots.append(new)

    def find_path(self, slot: Slot) -> Path | None:
        """Where the adapter's files are; None for the base. Reads the run's log."""
        if slot.run_id is not None:
            return self._studio.run(slot.run_id).adapter.path
        return slot.path


def parse_setting(name: str, value: Any) -> Any:
    """A setting as a person has typed it.

    Raises:
        StudioError: It is no number, or out of range.
    """
    if name == "remember":
        return bool(value)
    kind, low, high = {
        "max_new_tokens": (int, 1, 4096), "temperature": (float, 0.0, 2.0), "top_p": (float, 0.01, 1.0), "seed": (int, 0, 2**31),
    }[name]  # fmt: skip
    if name == "seed" and str(value).strip() == "":
        return None
    hint = f"Give a {'whole ' if kind is int else ''}number from {low:g} to {high:g}."
    try:
        number = kind(str(value).strip())
    except ValueError:
        raise StudioError(f"{name} is {str(value)[:40]!r}.", hint=hint) from None
    if not low <= number <= high:
        raise StudioError(f"{name} is {number:g}.", hint=hint)
    return number
