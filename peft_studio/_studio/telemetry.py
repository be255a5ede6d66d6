"""The part of the studio that sends reports to whom its owner has named, and to nobody before."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

from peft_studio._studio.publish import Publishing
from peft_studio.core.errors import (
    ConnectorError,
    Forbidden,
    NotAuthorised,
    NotFound,
    RateLimited,
    Refused,
    StudioError,
)

if TYPE_CHECKING:
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.offline.entry import Entry
    from peft_studio.core.offline.sender import Sender
    from peft_studio.core.ports.offers import Offer
    from peft_studio.core.services.run import Run
    from peft_studio.core.services.telemetry import Telemetry


_Method = TypeVar("_Method", bound=Callable[..., Any])


def _told_as(base: Callable[..., Any]) -> Callable[[_Method], _Method]:
    """``help`` shows the words and the arguments of the method that this one goes beyond."""

    def mark(method: _Method) -> _Method:
        update_wrapper(method, base)
        return method

    return mark


class Reporting(Publishing, ABC):
    """Telemetry, off until it is turned on."""

    @cached_property
    def telemetry(self) -> Telemetry:
        """Off, until ``telemetry.on(url)``. ``telemetry.preview()`` shows every byte that would be sent; ``telemetry.off()`` ends it."""
        from peft_studio.core.services.telemetry import KIND, TARGET, Telemetry

        return Telemetry(
            self.home,
            outbox=lambda: self._outbox,
            queue=lambda payload, entry_id: self._queue(TARGET, KIND, payload, id=entry_id),
        )

    @_told_as(Publishing.launch)
    def launch(self, spec: ExplainedSpec, *, compute: str | Offer | Sequence[Offer] = "local", **changes: Any) -> Run:
        run = super().launch(spec, compute=compute, **changes)
        with suppress(StudioError, OSError):  # the run has begun: nothing about a report is worth an error
            self.telemetry.report_if_due()
        return run

    def _find_sender(self, target: str) -> Sender | None:
        return ReportSender(self) if target == "telemetry" else super()._find_sender(target)


class ReportSender:
    """Posts reports. Implements :class:`peft_studio.core.offline.sender.Sender`."""

    idempotent = True  # a report has an id of its own, by which a collector keeps it once
    reads_back = False

    def __init__(self, studio: Reporting) -> None:
        self._studio = studio

    def send(self, entry: Entry) -> None:
        """Post one, if it is still agreed to."""
        from peft_studio.connectors.base.answer import Platform
        from peft_studio.connectors.base.door import Door
        from peft_studio.core.offline.sender import SendLater, SendRefused
        from peft_studio.core.services.telemetry import read_consent

        said, url = read_consent(self._studio.home), str(entry.payload["url"])
        if not said.on or said.url != url:
            raise SendRefused("The consent to send reports there was withdrawn; it was not sent.")
        door = Door(Platform("telemetry", "The collector of reports"), url)
        try:
            door.request("POST", url, content=str(entry.payload["body"]).encode(), repeatable=True)
        except RateLimited as exc:
            raise SendLater(exc.message, hint=exc.hint, retry_after_s=exc.retry_after_s, not_sent=True) from exc
        except (NotAuthorised, Forbidden, NotFound, Refused) as exc:
            raise SendRefused(exc.message, hint=exc.hint) from exc
        except ConnectorError as exc:
            raise SendLater(exc.message, hint=exc.hint, retry_after_s=exc.retry_after_s) from exc
        finally:
            door.close()

    def read_back(self, entry: Entry) -> bool:
        """Not asked: sending twice keeps it once."""
        return False
