"""Which run is meant: a whole id, the end of one, or the newest."""

from __future__ import annotations

from peft_studio._studio import Studio
from peft_studio.core.errors import RunNotFound
from peft_studio.core.ids import is_run_id
from peft_studio.core.services.run import Run

SEARCHED = 10_000  # runs among which the end of an id is looked for


def find_run(studio: Studio, text: str | None) -> Run:
    """The run that was meant.

    Raises:
        RunNotFound: There is none, or more than one id ends like that.
    """
    if text is not None and is_run_id(text):
        return studio.run(text)
    if text is None:
        newest = studio.runs(limit=1)
        if not newest:
            raise RunNotFound(f"There is no run in {studio.home} yet.", hint="peft-studio quickstart makes one.")
        return newest[0]
    ids = [row.id for row in studio.runs(limit=SEARCHED).rows if row.id.endswith(text)]
    if len(ids) == 1:
        return studio.run(ids[0])
    message = f"No run in {studio.home} has an id that ends in {text!r}."
    if ids:
        message = f"{len(ids)} runs have ids that end in {text!r}: {', '.join(ids[:5])}."
    raise RunNotFound(message, hint="peft-studio runs lists them.")
