"""A rented machine for tests: the real boot script in a real process, and a provider that ends it when it is asked to with its key."""

from __future__ import annotations

import base64
import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from peft_studio.connectors.base.node import NodeClient
from peft_studio.core.redact import Secret
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.services.rent.boot import BootPlan, SelfEnd, build_boot
from peft_studio.core.services.rent.luggage import build_package, pack, write_spec
from peft_studio.core.vault.certificate import make_certificate
from tests.conftest import wait_for
from tests.emulators.machine import Machine

PORT = 8443
KEY = "only-for-this-machine"
TOKEN = Secret("t" * 43)


@dataclass
class Provider:
    """Ends the one machine it has. ``asked``: when it was asked to, rightly; ``deaf``: it says yes and does nothing."""

    address: str = ""
    machine: Machine | None = None
    asked: list[float] = field(default_factory=list)
    deaf: bool = False
    answer: int = 204

    def take(self, path: str, authorization: str | None) -> int:
        """Answer DELETE."""
        if path != "/pods/pod-1" or authorization != f"Bearer {KEY}":
            return 401
        self.asked.append(time.monotonic())
        if self.machine and not self.deaf and self.answer == 204:
            threading.Thread(target=self.machine.end).start()
        return self.answer


@contextlib.contextmanager
def provide() -> Iterator[Provider]:
    """A provider on loopback."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_DELETE(self) -> None:
            self.send_response(provider.take(self.path, self.headers["Authorization"]))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield provider
        finally:
            server.shutdown()
            if provider.machine:
                provider.machine.end()


@dataclass
class Rented:
    """A machine, the provider it is of, and its owner's client."""

    machine: Machine
    provider: Provider
    client: NodeClient
    folder: RunFolder
    secrets: tuple[str, ...] = ()

    @property
    def base(self) -> Path:
        """PS_DIR on the machine."""
        return self.machine.folder / "peft-studio"

    @property
    def there(self) -> RunFolder:
        """The run's folder on the machine, as who stands beside it sees it."""
        return RunFolder(self.base / "home" / "runs" / self.folder.id)

    def work(self) -> list[psutil.Process]:
        """Its agent and trainer."""
        found = []
        for process in self.machine.processes:
            with contextlib.suppress(psutil.Error):
                if str(self.there.path) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def until_it_answers(self) -> None:
        """Wait for the door."""
        wait_for(lambda: self.machine.answers(PORT), "the door", timeout_s=30)

    def furnish(self, model: Path, work: Path, *, from_step: int = 0) -> None:
        """Bring everything that a run needs and ask for its start."""
        there = self.client.status().folder
        self.client.upload(build_package(work / "package.whl"), "package.whl")
        self.client.upload(
            write_spec(self.folder.load_spec(), work / "spec.json", there=there, model=model), "spec.json"
        )
        for item in pack(self.folder, model=model):
            self.client.upload(item.path, item.name)
        self.client.start(from_step=from_step)

    def step(self) -> int:
        """The last step that was trained there."""
        from peft_studio.core.runs.metrics import read_metrics

        rows = read_metrics(self.there.metrics)
        return rows[-1].step if rows else 0


def rent(at: Path, provider: Provider, folder: RunFolder, *, base: str = "", **plan: object) -> Rented:
    """Start a machine in the folder ``at``, for the run in ``folder``. ``base``: its PS_DIR, if not the usual."""
    end = SelfEnd(f"{provider.address}/pods/${{POD_ID}}", "POD_API_KEY")
    plain = BootPlan(run=folder.id, port=PORT, door="tls", lifetime_s=300, lease_s=120, save_s=20, self_end=end)
    wanted = replace(plain, **plan)  # type: ignore[arg-type]
    certificate = make_certificate(valid_s=3600)
    secret = base64.b64encode(certificate.key.reveal().encode()).decode()
    env = {"PS_TOKEN": TOKEN.reveal(), "PS_TLS": secret, "POD_ID": "pod-1", "POD_API_KEY": KEY}
    env |= {"PS_DIR": base} if base else {}
    switch = at / "bin" / "shutdown"  # a machine of a test must not switch off this one
    switch.parent.mkdir(parents=True)
    switch.write_text('#!/bin/sh\necho "$@" >> "$HOME/switched-off"\n')
    switch.chmod(0o755)
    env["PATH"] = os.pathsep.join((str(switch.parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    machine = Machine(at, ["bash", "-c", build_boot(wanted)], env=env, ports=(PORT,))
    provider.machine = machine
    scheme, pin = ("https", certificate.certificate) if wanted.door == "tls" else ("http", None)
    client = NodeClient(f"{scheme}://127.0.0.1:{machine.ports[PORT]}", TOKEN, certificate=pin)
    key = certificate.key.reveal().splitlines()[1]
    return Rented(machine, provider, client, folder, (TOKEN.reveal(), KEY, secret, key))
