"""What a connector offers to the outbox, and the words in which it says how sending went."""

from __future__ import annotations

from typing import Protocol

from peft_studio.core.errors import StudioError
from peft_studio.core.offline.entry import Entry


class Sender(Protocol):
    """Sends the operations of one target, one at a time and in order. Called from threads; never twice at once for one target.

    A call must end: the sender sets its own deadlines. While it runs, nobody else sends to this target, on this machine.

    Attributes:
        idempotent: Whether the other side does a thing once however often it is sent with the same ``entry.key``. Where it forgets
            keys after a while, offer :meth:`read_back` too: a laptop may stay closed for longer.
        reads_back: Whether :meth:`read_back` can be asked. With neither, an operation that may have arrived is never sent again
            by itself: it goes to the dead letters, and a person decides.
    """

    @property
    def idempotent(self) -> bool: ...

    @property
    def reads_back(self) -> bool: ...

    def send(self, entry: Entry) -> str | None:
        """Do it. Returns what to remember of it (an address, a name), if anything.

        Raises:
            SendLater: Not now; or nobody knows whether it arrived. It is tried again.
            SendRefused: Never like this. It goes to the dead letters.
        """

    def read_back(self, entry: Entry) -> bool:
        """Whether it has arrived already. Asked before every repeat, where ``reads_back`` is True.

        Raises:
            SendLater: That cannot be said now: nothing answers, or the other side shows new things late and may not show it yet.
        """


class SendLater(StudioError):
    """It could not be sent now, or it is not known whether it was.

    Args:
        retry_after_s: What the other side asked for (``Retry-After``).
        unreachable: It was the network, before anything was sent: tried again at once when that is back.
        not_sent: It has surely not arrived, as with status 429. A timeout, a lost reply or a 5xx is not sure.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retry_after_s: float | None = None,
        unreachable: bool = False,
        not_sent: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        self.unreachable = unreachable
        self.not_sent = not_sent or unreachable


class SendRefused(StudioError):
    """The other side will never take it as it is, and has not."""
