"""What a person does with an operation that was not sent: try it again, change it, give it up."""

from __future__ import annotations

import sqlite3
from typing import Any

from peft_studio.core.errors import OutboxError
from peft_studio.core.offline.entry import Entry
from peft_studio.core.offline.line import held_line
from peft_studio.core.offline.outbox import Outbox, payload_text


def retry(outbox: Outbox, entry_id: str) -> Entry:
    """Have an operation tried again at once, in its place. One that nobody could know to have arrived is sent again: that is your word.

    Raises:
        OutboxError: There is none of that id.
    """
    with outbox.file.writing() as db:
        db.execute(
            "UPDATE entries SET state = 'waiting', wait_s = 0, unsure = unsure AND cause <> 'unknown', cause = ''"
            " WHERE id = ? AND (state = 'dead' OR wait_s > 0)",
            (entry_id,),
        )
        entry = outbox.entry(_row(db, entry_id))
    outbox.tell()
    return entry


def edit(outbox: Outbox, entry_id: str, payload: Any) -> Entry:
    """Give a dead operation another payload and have it tried again, in its place, as a new thing for the other side.

    Raises:
        OutboxError: It is not dead; or it may have arrived as it was, so that the two would both be there.
    """
    text = payload_text(payload)
    with outbox.file.writing() as db:
        row = _row(db, entry_id)
        if row["state"] != "dead":
            raise OutboxError(
                f"{row['kind']} {entry_id} was not refused: it waits to be sent as it is.",
                hint="Drop it and queue another.",
            )
        if row["unsure"]:
            raise OutboxError(
                f"{row['kind']} {entry_id} may have arrived as it was.",
                hint="Look there. Then drop it here; and queue what is still to be done as a new operation.",
            )
        mine = {**dict(row), "key_name": outbox.key_name}
        db.execute(
            "UPDATE entries SET payload = ?, size = ?, key_name = ?, edition = edition + 1, state = 'waiting', wait_s = 0,"
            " cause = '', reason = NULL WHERE seq = ?",
            (outbox.sealed(mine, "payload", text), len(text), outbox.key_name, row["seq"]),
        )
        entry = outbox.entry(_row(db, entry_id))
    outbox.tell()
    return entry


def drop(outbox: Outbox, entry_id: str) -> None:
    """Take an operation out for good: its id is not queued again either. What it held goes on.

    Raises:
        OutboxError: There is none of that id, or it is being sent just now.
    """
    with outbox.file.writing() as db:
        row = _row(db, entry_id)
        free = row["state"] == "dead" or not row["unsure"]
        if free:
            outbox.end(db, row, sent=False)
    if not free:  # it may have been taken by a worker: only whoever holds the line knows that it is not
        with held_line(outbox, row["target"]) as line:
            if line is None:
                raise OutboxError(f"{row['kind']} {entry_id} is being sent just now.", hint="Try again in a moment.")
            with outbox.file.writing() as db:
                outbox.end(db, _row(db, entry_id), sent=False)
    outbox.tell()


def _row(db: sqlite3.Connection, entry_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM entries WHERE id = ?", (entry_id,)).fetchone()
    if row is None:
        raise OutboxError(
            f"There is no operation {entry_id!r} in the outbox: it was sent or dropped, or never was.",
            hint="studio.outbox lists what waits.",
        )
    return row
