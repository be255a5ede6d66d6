"""What calls to platforms tell of the network, and when they are let through."""

from __future__ import annotations

import pytest

from peft_studio.connectors import huggingface, ollama
from peft_studio.core.errors import ConnectorError, NotAuthorised, Offline, Unavailable
from peft_studio.core.offline.connectivity import Connectivity
from peft_studio.core.services.reachability import report_outcome, require_network


@pytest.fixture
def known() -> Connectivity:
    """A network of which one host has just failed."""
    made = Connectivity()
    made.report("elsewhere.org", reached=False)
    return made


@pytest.mark.parametrize(
    ("error", "offline"),
    [
        (None, False),
        (Unavailable("503", status=503), False),
        (NotAuthorised("401", status=401), False),
        (NotAuthorised("the key is another's, nothing was sent"), False),
        (Unavailable("no answer"), "no answer from elsewhere.org, huggingface.co"),
    ],
)
def test_no_answer_at_all_counts(known: Connectivity, error: ConnectorError | None, offline: bool | str) -> None:
    """An error that was answered means that the network is there."""
    report_outcome(known, huggingface.INFO, error)

    assert known.offline == offline


def test_this_machine_tells_nothing_and_needs_nothing(known: Connectivity) -> None:
    """A daemon here that is down is no network that is down."""
    report_outcome(known, ollama.INFO, Unavailable("no daemon"))
    assert known.offline is False

    known.set("on a plane")
    require_network(known, ollama.INFO)
    with pytest.raises(Offline, match="Hugging Face needs the network, and you are offline: on a plane"):
        require_network(known, huggingface.INFO)
