"""A machine's client on a line that is cut: what is answered at once is not waited for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from peft_studio.connectors.base import node as nodes
from peft_studio.connectors.base.node import NodeClient
from peft_studio.connectors.base.patience import Limits
from peft_studio.core.errors import Unavailable
from peft_studio.core.redact import Secret

QUESTIONS: dict[str, Callable[[NodeClient], object]] = {
    "status": NodeClient.status,
    "files": NodeClient.list_files,
    "lease": NodeClient.renew_lease,
    "over": NodeClient.let_go,
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_how_it_stands_is_not_waited_for_as_a_large_file_is(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[NodeClient], object]
) -> None:
    """The line takes the question and nothing comes back. The next machine is followed from here: it must not wait for that."""
    assert nodes.AT_ONCE.total_s + nodes.AT_ONCE.read_s < 30 < nodes.LIMITS.read_s
    monkeypatch.setattr(nodes, "AT_ONCE", Limits(read_s=0.1, total_s=0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        node = NodeClient(f"http://127.0.0.1:{silent.getsockname()[1]}", Secret("a-token"))
        began = time.monotonic()
        with pytest.raises(Unavailable):
            ask(node)
        assert time.monotonic() - began < 5
        node.close()


def test_a_line_that_broke_is_given_back_to_who_knows_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel that broke leaves a port at which nobody is. Who only tried that one again would never hear the run."""
    monkeypatch.setattr(nodes, "AT_ONCE", Limits(read_s=0.1, total_s=0.2))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    node, began = NodeClient(f"http://127.0.0.1:{port}", Secret("a-token")), time.monotonic()
    with pytest.raises(Unavailable):
        next(node.stream(after=0, metrics=0, system=0, over=lambda: time.monotonic() - began > 5))
    node.close()
