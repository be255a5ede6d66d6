"""A rented machine for tests: the real boot script in a real process, and a provider that ends it when it is asked to with its key."""

from __future__ import annotations

import base64
import contextlib
import json
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
from peft_studio.core.ports.rental import SelfEnd
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.boot import BootPlan, build_boot
from peft_studio.core.services.rent.credentials import make_credentials
from peft_studio.core.services.rent.luggage import build_package, pack, write_spec
from peft_studio.core.system import write_private
from tests.conftest import wait_for
from tests.emulators.machine import Machine
from tests.unit.core.runs.conftest import build_spec
from tests.unit.runner.agent.stand_in import MODULE

ROOT = Path(__file__).parents[1]
PORT = 8443
KEY = "only-for-this-machine"


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

    def in_sight(self) -> bytes:
        """What anyone on the machine can see: command lines and environments, but for the environment of the boot script, which the
        provider wrote; files; what was printed."""
        seen = self.machine.text.encode()
        for process in self.machine.processes:
            with contextlib.suppress(psutil.Error):
                command = process.cmdline()
                written_by_provider = command[:2] == ["bash", "-c"]
                seen += f"{command} {'' if written_by_provider else process.environ()}".encode()
        return seen + b"".join(path.read_bytes() for path in self.base.rglob("*") if path.is_file())

    def until_it_answers(self) -> None:
        """Wait for the door."""
        wait_for(lambda: self.machine.answers(PORT), "the door")

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


def put_gpu(folder: Path, *percent: float) -> None:
    """An ``nvidia-smi`` that says how busy its cards are, in a folder for PATH; without cards one that fails. Again: it says other things."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"echo '{one:g}, 1000, 24000'\n" for one in percent) or "exit 9\n"
    aside = folder / ".nvidia-smi"
    aside.write_text(f"#!/bin/sh\n{lines}")
    aside.chmod(0o755)
    aside.replace(folder / "nvidia-smi")


def rent(
    at: Path, provider: Provider, folder: RunFolder, *, base: str = "", by_file: bool = False, **plan: object
) -> Rented:
    """Start a machine in the folder ``at``, for the run in ``folder``. ``base``: its PS_DIR, if not the usual.

    ``by_file``: its secrets come later, in the file that the plan names.
    """
    end = SelfEnd(url=f"{provider.address}/pods/${{POD_ID}}", key="POD_API_KEY")
    plain = BootPlan(run=folder.id, port=PORT, door="tls", lifetime_s=300, lease_s=120, save_s=20, self_end=end)
    wanted = replace(plain, **plan)  # type: ignore[arg-type]
    given = make_credentials(lifetime_s=wanted.lifetime_s, tls=wanted.door == "tls")
    env = {"POD_ID": "pod-1", "POD_API_KEY": KEY}
    env |= {} if by_file else {name: value.reveal() for name, value in given.environment.items()}
    env |= {"PS_DIR": base} if base else {}
    switch = at / "bin" / "shutdown"  # a machine of a test must not switch off this one
    switch.parent.mkdir(parents=True)
    switch.write_text('#!/bin/sh\necho "$@" >> "$HOME/switched-off"\n')
    switch.chmod(0o755)
    env["PATH"] = os.pathsep.join(
        (str(switch.parent), str(at / "gpu"), str(Path(sys.executable).parent), os.environ["PATH"])
    )
    machine = Machine(at, ["bash", "-c", build_boot(wanted)], env=env, ports=(PORT,))
    provider.machine = machine
    scheme = "https" if wanted.door == "tls" else "http"
    address = f"{scheme}://127.0.0.1:{machine.ports[PORT]}"
    client = NodeClient(address, given.token, certificate=given.certificate)
    if by_file:
        aside = at / "keys.new"
        write_private(aside, given.file.reveal())
        aside.rename(wanted.secrets_file)
    private = [base64.b64decode(given.key.reveal()).splitlines()[1].decode(), given.key.reveal()] if given.key else []
    return Rented(machine, provider, client, folder, (given.token.reveal(), KEY, *private))


def rent_training(at: Path, provider: Provider, trains: dict[str, object], **plan: object) -> Rented:
    """A machine in ``at/pod`` on which a stand-in trains by a plan (see ``tests/unit/runner/agent/stand_in.py``), for a run of ``at/home``.

    Other fields are the boot plan's.
    """
    folder: RunFolder = RunStore(at / "home").create(build_spec(name=json.dumps(trains)))
    rented = rent(at / "pod", provider, folder, **plan)
    rented.until_it_answers()
    rented.client.upload(build_package(at / "package.whl"), "package.whl")
    wait_for(lambda: (rented.base / "python").exists(), "what training needs", timeout_s=60)
    python = rented.base / "stand-in"
    python.write_text(f'#!/bin/sh\nshift 2\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m {MODULE} "$@"\n')
    python.chmod(0o755)
    (rented.base / "python").write_text(str(python))
    rented.client.upload(folder.spec, "spec.json")
    rented.client.upload(folder.events, "events.jsonl")
    rented.client.start()
    return rented
