"""How records are written as JSON and read again."""

from __future__ import annotations

import sqlite3

from pydantic import TypeAdapter, ValidationError

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Done, Intent, Record, Wish
from peft_studio.core.services.rent.rentals_file import IF_DAMAGED

INTENT = TypeAdapter(Intent)
WISH = TypeAdapter(Wish)
DONE = TypeAdapter(Done)
MOMENT = TypeAdapter(Moment)


def read_record(row: sqlite3.Row) -> Record:
    """A row of the table of records.

    Raises:
        RentError: It is not as it was written.
    """
    try:
        return Record(
            INTENT.validate_json(row["intent"]), WISH.validate_json(row["wish"]), DONE.validate_json(row["done"]),
            edition=row["edition"],
        )  # fmt: skip
    except ValidationError as exc:
        raise RentError(f"The record of the rented machine {row['label']} is damaged.", hint=IF_DAMAGED) from exc


def read_moment(text: str | None) -> Moment | None:
    """A moment, where there is one."""
    return None if text is None else MOMENT.validate_json(text)
