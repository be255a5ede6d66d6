"""What a call to a platform tells of the network."""

from __future__ import annotations

from urllib.parse import urlsplit

from peft_studio.core.errors import ConnectorError, Unavailable
from peft_studio.core.offline.connectivity import Connectivity
from peft_studio.core.ports.platform import ConnectorInfo


def require_network(known: Connectivity, info: ConnectorInfo) -> None:
    """Let a call pass, or say why not. A platform on this machine needs no network.

    Raises:
        Offline: There is no network, or there is to be none.
    """
    if not info.local:
        known.require(info.title)


def report_outcome(known: Connectivity, info: ConnectorInfo, error: ConnectorError | None) -> None:
    """An answer, be it an error, means that it was reached; no answer at all that it was not. What was not sent tells nothing."""
    if info.local:
        return
    host = urlsplit(info.docs_url).hostname or info.name
    if error is None or error.status is not None:
        known.report(host, reached=True)
    elif isinstance(error, Unavailable):
        known.report(host, reached=False)
