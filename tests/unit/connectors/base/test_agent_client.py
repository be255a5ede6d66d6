"""The client where there is no agent, or none that answers."""

from __future__ import annotations

import socket

import pytest

from peft_studio.connectors.base.agent_client import Address, AgentClient
from peft_studio.core.errors import RunStateError, StudioError


def closed_port() -> Address:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return Address("127.0.0.1", listener.getsockname()[1], "token")


def test_without_an_agent_a_stream_is_empty() -> None:
    """A follower ends instead of waiting for ever."""
    assert list(AgentClient(lambda: None).stream()) == []


def test_without_an_agent_a_command_says_how_to_go_on() -> None:
    """The error names resume."""
    with pytest.raises(RunStateError, match="no living agent") as caught:
        AgentClient(lambda: None).command("stop", save=True)
    assert "run.resume()" in caught.value.hint


def test_an_agent_that_does_not_answer_is_an_error() -> None:
    """A dead port is no success."""
    address = closed_port()
    with pytest.raises(RunStateError, match="did not answer"):
        AgentClient(lambda: address).command("stop")


def test_a_stream_ends_when_the_agent_goes_meanwhile() -> None:
    """An address at first, nobody there, then no agent: the stream gives up without an error."""
    places = [closed_port(), closed_port(), None]
    assert list(AgentClient(lambda: places.pop(0)).stream()) == []
    assert places == []


def test_a_file_from_nobody_is_an_error_with_a_way_on(tmp_path: object) -> None:
    """What is there stays for the next attempt."""
    from pathlib import Path

    address, target = closed_port(), Path(str(tmp_path)) / "file"
    target.with_name("file.part").write_bytes(b"half")
    with pytest.raises(StudioError, match="Could not fetch file") as caught:
        AgentClient(lambda: address).fetch("adapter/file", target)
    assert "goes on where it stopped" in caught.value.hint
    assert target.with_name("file.part").read_bytes() == b"half"
    assert not target.exists()


def test_a_token_is_not_printed() -> None:
    """Neither repr nor text of an address, nor of an error about it, holds the token."""
    address = Address("127.0.0.1", 1, "very-secret-token")
    assert "very-secret-token" not in f"{address!r} {address}"
    with pytest.raises(RunStateError) as caught:
        AgentClient(lambda: address).command("stop")
    assert "very-secret-token" not in str(caught.value)


def test_an_address_leads_through_a_machine_s_door() -> None:
    """Below its prefix, and over TLS where that is how the machine is known."""
    import ssl

    plain, far = Address("127.0.0.1", 1, "t"), Address("h", 2, "t", "/agent", ssl.create_default_context())
    assert (plain.url("ws", "/stream"), plain.url("http", "/files/x")) == (
        "ws://127.0.0.1:1/stream",
        "http://127.0.0.1:1/files/x",
    )
    assert (far.url("ws", "/stream"), far.url("http", "/files/x")) == (
        "wss://h:2/agent/stream",
        "https://h:2/agent/files/x",
    )
