"""Doors that are real processes on loopback, and machines whose agent is real and whose trainer is a stand-in."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from peft_studio.connectors.base.node import NodeClient
from peft_studio.core.redact import Secret
from peft_studio.core.vault.certificate import MachineCertificate, make_certificate
from tests.conftest import wait_for
from tests.emulators.machine import free_port
from tests.rented import Provider, Rented, provide, rent_training

TOKEN = "a-token-of-more-than-32-characters-0123"


@dataclass
class OpenDoor:
    """A door without a machine around it."""

    base: Path
    run: Path
    port: int
    certificate: MachineCertificate | None
    process: subprocess.Popen[bytes]

    def client(self, token: str = TOKEN) -> NodeClient:
        """Its owner's, or somebody's with another token."""
        if self.certificate:
            return NodeClient(f"127.0.0.1:{self.port}", Secret(token), certificate=self.certificate.certificate)
        return NodeClient(f"http://127.0.0.1:{self.port}", Secret(token))


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Callable[..., OpenDoor]]:
    """Open one; ``tls`` with a certificate of its own. It is closed after the test."""
    opened: list[subprocess.Popen[bytes]] = []

    def _open(*, tls: bool = False, head_s: float = 10.0, valid_s: float = 3600) -> OpenDoor:
        base, port = tmp_path / "machine", free_port()
        run = base / "home" / "runs" / "r-1"
        run.mkdir(parents=True, exist_ok=True)  # opened again, it is the next door of the same machine
        certificate = make_certificate(valid_s=valid_s) if tls else None
        pem = base64.b64encode(certificate.key.reveal().encode()).decode() if certificate else ""
        settings = {
            "PS_DIR": str(base), "PS_RUN": "r-1", "PS_PORT": str(port), "PS_BIND": "127.0.0.1", "PS_LEASE_S": "600",
            "PS_LIFETIME_S": "3600", "PS_DOOR": "tls" if tls else "tunnel",
        }  # fmt: skip
        code = f"from peft_studio.runner.node import door; door.HEAD_S = {head_s}; door.main()"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env={**os.environ, **settings})
        opened.append(process)
        assert process.stdin
        process.stdin.write(f"{TOKEN}\n{pem}\n".encode())
        process.stdin.close()
        door = OpenDoor(base, run, port, certificate, process)
        wait_for(lambda: _answers(door), "the door")
        return door

    yield _open
    for process in opened:
        process.kill()
        process.wait(10)


def _answers(door: OpenDoor) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", door.port)) == 0


@pytest.fixture
def provider() -> Iterator[Provider]:
    """It ends its machine when the test is over."""
    with provide() as made:
        yield made


@pytest.fixture
def rent_stand_in(tmp_path: Path, provider: Provider) -> Callable[..., Rented]:
    """A machine on which a stand-in trains by a plan (see ``tests/unit/runner/agent/stand_in.py``); other fields are the boot plan's."""

    def _rent(trains: dict[str, object], **plan: object) -> Rented:
        return rent_training(tmp_path, provider, trains, **plan)

    return _rent
