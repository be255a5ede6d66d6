"""The one call that spends money: sent once, and whatever is not a plain no leaves it open whether it was done."""

from __future__ import annotations

from typing import Any

from peft_studio.connectors.base.door import Door
from peft_studio.core.errors import BadResponse, ConnectorError, Unavailable


def buy_once(door: Door, method: str, path: str, *, json: Any) -> dict[str, Any]:
    """Send a request that buys something and return the object that was answered.

    It is tried again only where it never left here.

    Raises:
        ConnectorError: ``may_have_happened`` unless it surely did not leave, or the platform said no.
    """
    try:
        return door.request(method, path, json=json, repeatable=False).record()
    except (BadResponse, Unavailable) as exc:
        # A door answers for what it could not send; an answer that cannot be read is no answer.
        exc.may_have_happened |= isinstance(exc, BadResponse) or exc.status is not None
        raise


def in_doubt(error: ConnectorError) -> ConnectorError:
    """The error of an answer that does not say what was bought."""
    error.may_have_happened = True
    return error
