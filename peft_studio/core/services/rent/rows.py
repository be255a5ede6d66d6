"""How records are written as JSON and read again."""

from __future__ import annotations

import sqlite3

from pydantic import TypeAdapter

from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Done, Intent, Record, Wish

INTENT = TypeAdapter(Intent)
WISH = TypeAdapter(Wish)
DONE = TypeAdapter(Done)
MOMENT = TypeAdapter(Moment)


def read_record(row: sqlite3.Row) -> Record:
    """A row of the table of records."""
    return Record(
        INTENT.validate_json(row["intent"]), WISH.validate_json(row["wish"]), DONE.validate_json(row["done"]),
        edition=row["edition"],
    )  # fmt: skip


def read_moment(text: str | None) -> Moment | None:
    """A moment, where there is one."""
    return None if text is None else MOMENT.validate_json(text)
