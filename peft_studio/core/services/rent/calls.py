"""The three calls to a provider. Whatever a connector throws ends here: an error is an answer, and the next step is decided from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from peft_studio.core.errors import ConnectorError, StudioError
from peft_studio.core.ports.rental import Rental
from peft_studio.core.redact import REDACTOR

T = TypeVar("T")
Rentals = Callable[[], Mapping[str, Rental]]
"""The connected providers of machines by name, as they are now: keys may come and go while machines run."""


def attempt(call: Callable[[], T]) -> T | StudioError:
    """What a call returns, or the error that it raised. One that is not of ours leaves it open whether the thing was done."""
    try:
        return call()
    except StudioError as exc:
        return exc
    except Exception as exc:  # noqa: BLE001  # a stranger's code; its machine goes on costing money whatever it throws
        return ConnectorError(
            f"The connector failed: {type(exc).__name__}: {REDACTOR.text(str(exc))[:300]}", may_have_happened=True
        )
