"""The outbox: operations that wait for the network, one line for each target, on disk before ``put`` returns.

Whoever owns one puts operations in, sees what waits and repairs what was refused. ``line`` and ``delivery`` send; ``dispatcher`` does it by itself.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from peft_studio.core.errors import OutboxError, OutboxFull
from peft_studio.core.offline.entry import Entry, Operation, Receipt, State, at, left_s
from peft_studio.core.offline.outbox_file import OutboxFile
from peft_studio.core.offline.sealed import SealBroken, name_key, seal, unseal

MOST_ENTRIES = 100_000
MOST_BYTES = 256 * 2**20
MOST_PAYLOAD_BYTES = 2**20
MOST_NAME = 300
RECEIPTS = 10_000  # so many operations that were sent or dropped are remembered, by whose ids a late second ``put`` is recognised


class Outbox:
    """Operations of one home. Any number of processes may share the folder.

    Args:
        folder: Made on first use.
        key: 32 bytes. What was sealed with a key that is not at hand stays, unread, and holds its line until it is dropped or that key is back.
        older_keys: Keys that this one has replaced: what they sealed can still be opened.
        now: Seconds since 1970. Only waits depend on it; nothing is lost or doubled by a clock that jumps.
    """

    def __init__(
        self, folder: Path, *, key: bytes, older_keys: Sequence[bytes] = (), now: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder.absolute()  # a notebook changes its folder; the locks of a line must not go with it
        self.file = OutboxFile(self.folder)
        self.now = now
        self.key_name = name_key(key)
        self._keys = {name_key(one): one for one in (*older_keys, key)}
        self._told: list[Callable[[], None]] = []

    def put(self, target: str, kind: str, payload: Any, *, id: str = "", holds: bool = False) -> Entry | Receipt:
        """Queue one operation; see :class:`Operation`. It costs a few writes to disk; :meth:`put_all` costs as many for all of them."""
        return self.put_all([Operation(target, kind, payload, id=id, holds=holds)])[0]

    def put_all(self, operations: Sequence[Operation]) -> list[Entry | Receipt]:
        """Queue operations, all or none. They survive whatever happens once this has returned; their order is that of the calls.

        An id that is known already is not queued again: its entry comes back, or the receipt of what was sent or dropped.

        Raises:
            OutboxFull: There is no room for all of them.
            OutboxError: An id stands for another operation, a payload is no JSON or too big, or the disk does not take it.
        """
        for operation in operations:
            _check_names(operation)
        texts = [payload_text(operation.payload) for operation in operations]
        found: list[Entry | Receipt] = []
        with self.file.writing() as db:
            for operation, text in zip(operations, texts, strict=True):
                found.append(self._known(db, operation, text) or self._add(db, operation, text))
            entries, size = db.execute("SELECT entries, size FROM totals").fetchone()
            if entries > MOST_ENTRIES or size > MOST_BYTES:
                raise OutboxFull(
                    f"The outbox is full: it takes {MOST_ENTRIES:,} operations and {MOST_BYTES / 2**20:g} MiB, and this would make"
                    f" {entries:,} and {size / 2**20:.1f} MiB.",
                    hint="Nothing of this was queued. Connect to the network and call studio.sync(), or drop what is not needed: studio.outbox.",
                )
        self.tell()
        return found

    def on_put(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called after each ``put`` of this process and each repair."""
        self._told.append(tell)

    def entries(self, *, state: State | None = None, limit: int = -1) -> list[Entry]:
        """What is in it, in the order in which it goes out; the first ``limit`` of it."""
        rows = self.file.read(
            "SELECT * FROM entries WHERE ? IS NULL OR state = ? ORDER BY seq LIMIT ?", (state, state, limit)
        )
        return [self.entry(row) for row in rows]

    def find(self, entry_id: str) -> Entry | None:
        """An entry by its id."""
        rows = self.file.read("SELECT * FROM entries WHERE id = ?", (entry_id,))
        return self.entry(rows[0]) if rows else None

    def receipts(self, limit: int = 50) -> list[Receipt]:
        """What was sent or dropped last, newest first."""
        rows = self.file.read("SELECT * FROM receipts ORDER BY seq DESC LIMIT ?", (limit,))
        return [self._receipt(row) for row in rows]

    def counts(self) -> dict[tuple[str, str, State], int]:
        """How many by target, kind and state: nothing is opened for it."""
        rows = self.file.read("SELECT target, kind, state, count(*) FROM entries GROUP BY 1, 2, 3 ORDER BY min(seq)")
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    def heads(self) -> dict[str, float]:
        """Seconds until the first waiting operation of each target may be tried: 0 for those that are due."""
        rows = self.file.read(
            "SELECT target, failed_at, wait_s FROM entries"
            " WHERE seq IN (SELECT min(seq) FROM entries WHERE state = 'waiting' GROUP BY target)"
        )
        return {row["target"]: left_s(self.now(), row["failed_at"], row["wait_s"]) for row in rows}

    def hasten(self, *, only_unreachable: bool = False) -> None:
        """Have what waits after a failure tried now: what failed for want of a network, or all but what was told to wait."""
        if not self.file.path.exists():
            return
        with self.file.writing() as db:
            db.execute(
                "UPDATE entries SET wait_s = 0 WHERE state = 'waiting' AND wait_s > 0 AND (cause = 'unreachable' OR (cause <> 'told' AND ?))",
                (not only_unreachable,),
            )

    def count(self, target: str) -> int:
        """How many there are of one target."""
        return sum(row[0] for row in self.file.read("SELECT count(*) FROM entries WHERE target = ?", (target,)))

    def opened(self, row: sqlite3.Row, field: str) -> str | None:
        """A sealed field; None when there is nothing in it.

        Raises:
            SealBroken: It was changed, or sealed with another key.
        """
        if row[field] is None:
            return None
        return unseal(self._keys[row["key_name"]], row[field], _place(row, field)).decode()

    def sealed(self, row: sqlite3.Row | dict[str, Any], field: str, text: str) -> bytes:
        """Text as the ``field`` of a row, under the row's key."""
        return seal(self._keys[row["key_name"]], text.encode(errors="replace"), _place(row, field))

    def has_key(self, row: sqlite3.Row) -> bool:
        """Whether what seals a row is at hand."""
        return row["key_name"] in self._keys

    def entry(self, row: sqlite3.Row) -> Entry:
        """A row as an entry. What cannot be opened has no payload, and says so."""
        payload, reason, readable = None, "sealed with a key that is not here", self.has_key(row)
        try:
            if readable:
                payload, reason = json.loads(self.opened(row, "payload") or "null"), self.opened(row, "reason") or ""
        except SealBroken:
            readable, reason = False, "its content was damaged on disk"
        return Entry(
            id=row["id"], seq=row["seq"], target=row["target"], kind=row["kind"], payload=payload, state=row["state"],
            holds=bool(row["holds"]), unsure=bool(row["unsure"]), tries=row["tries"], edition=row["edition"],
            size_bytes=row["size"], queued_at=at(row["queued_at"]),
            failed_at=None if row["failed_at"] is None else at(row["failed_at"]), wait_s=row["wait_s"],
            cause=row["cause"], reason=reason, readable=readable,
        )  # fmt: skip

    def end(self, db: sqlite3.Connection, row: sqlite3.Row, *, sent: bool, text: str = "") -> None:
        """Replace an entry by its receipt, in a transaction of the caller."""
        receipt = self.sealed(row, "receipt", text) if text else None
        db.execute(
            "INSERT INTO receipts (id, target, kind, key_name, ended_at, was_sent, receipt) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row["id"], row["target"], row["kind"], row["key_name"], self.now(), sent, receipt),
        )
        db.execute("DELETE FROM entries WHERE seq = ?", (row["seq"],))
        db.execute("DELETE FROM receipts WHERE seq <= (SELECT max(seq) FROM receipts) - ?", (RECEIPTS,))

    def tell(self) -> None:
        """Say that something may be due now."""
        for tell in self._told:
            tell()

    def _known(self, db: sqlite3.Connection, operation: Operation, text: str) -> Entry | Receipt | None:
        if not operation.id:
            return None
        row = db.execute("SELECT * FROM entries WHERE id = ?", (operation.id,)).fetchone()
        entry = self.entry(row) if row else None
        if entry is None:
            row = db.execute("SELECT * FROM receipts WHERE id = ?", (operation.id,)).fetchone()
        if row is None:
            return None
        same = (row["target"], row["kind"]) == (operation.target, operation.kind)
        if not same or (entry is not None and not entry.edition and payload_text(entry.payload) != text):
            raise OutboxError(
                f"The id {operation.id!r} already stands for another operation.",
                hint="Give each event an id of its own.",
            )
        return entry or self._receipt(row)

    def _add(self, db: sqlite3.Connection, operation: Operation, text: str) -> Entry:
        fields: dict[str, Any] = {
            "id": operation.id or f"e-{secrets.token_hex(8)}", "target": operation.target, "kind": operation.kind,
            "key_name": self.key_name, "size": len(text), "state": "waiting", "holds": operation.holds, "unsure": 0, "tries": 0,
            "edition": 0, "queued_at": self.now(), "wait_s": 0.0, "cause": "",
        }  # fmt: skip
        fields["payload"] = self.sealed(fields, "payload", text)
        insert = f"INSERT INTO entries ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"  # noqa: S608  names are ours
        seq = db.execute(insert, tuple(fields.values())).lastrowid
        return self.entry(db.execute("SELECT * FROM entries WHERE seq = ?", (seq,)).fetchone())

    def _receipt(self, row: sqlite3.Row) -> Receipt:
        try:
            text = self.opened(row, "receipt") if self.has_key(row) else None
        except SealBroken:
            text = None
        return Receipt(row["id"], row["target"], row["kind"], at(row["ended_at"]), bool(row["was_sent"]), text or "")


def _check_names(operation: Operation) -> None:
    for name, text in (("target", operation.target), ("kind", operation.kind), ("id", operation.id or "made")):
        if not 0 < len(text) <= MOST_NAME or not text.isprintable():
            raise OutboxError(
                f"The {name} {text[:40]!r} of an operation is no name.",
                hint=f"Give it 1 to {MOST_NAME} printable characters.",
            )


def payload_text(payload: Any) -> str:
    """A payload as it is kept.

    Raises:
        OutboxError: It is no JSON, or too big.
    """
    try:
        text = json.dumps(payload, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise OutboxError(
            f"A payload is no JSON: {exc}.", hint="Queue numbers, text, lists and dicts of them."
        ) from exc
    if len(text) > MOST_PAYLOAD_BYTES:
        raise OutboxError(
            f"A payload has {len(text) / 2**20:.1f} MiB; {MOST_PAYLOAD_BYTES >> 20} MiB is the most.",
            hint="Queue the path and digest of a file instead of what is in it.",
        )
    return text


def _place(row: sqlite3.Row | dict[str, Any], field: str) -> str:
    """What a seal is bound to: it opens in this field of this entry only."""
    return "\0".join(("outbox 1", field, row["id"], row["target"], row["kind"]))
