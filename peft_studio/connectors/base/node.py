"""The client of a rented machine's door: what arrives there, what starts, what is fetched. Over TLS or a tunnel, never in the clear.

What the door says is what ``runner/node/door.py`` lists. A machine is a stranger's: what it answers is looked at before it is used.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import NonNegativeInt, StringConstraints, TypeAdapter, ValidationError

from peft_studio.connectors.base.agent_client import Address, AgentClient
from peft_studio.connectors.base.answer import Answer, Platform, unreadable
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.patience import Limits
from peft_studio.connectors.base.transfer import fetch_files
from peft_studio.connectors.base.wire import trust_only, trusted
from peft_studio.core.errors import Corrupt, Refused, Unavailable
from peft_studio.core.ports.download import Order
from peft_studio.core.ports.node import Message, NodeStatus
from peft_studio.core.ports.platform import Value, Word
from peft_studio.core.ports.registry import ModelFile
from peft_studio.core.redact import Secret
from peft_studio.core.runs.checkpoints import sha256_of

T = TypeVar("T")
PLATFORM = Platform("machine", "The rented machine")
# A chunk must pass on a slow home line, and a digest of a large file takes its time.
LIMITS = Limits(read_s=100.0, write_s=60.0, total_s=120.0)
# How it stands is answered at once or not at all. Who waits longer on a line that is cut does not see that its machine is gone.
AT_ONCE = Limits(read_s=8.0, write_s=8.0, total_s=16.0)
PACE = (100.0, 400)  # requests: the machine is ours alone
CHUNK_BYTES = 4 * 2**20
TRIES = 5  # in a row that bring nothing
FETCHED = re.compile(
    r"(adapter|checkpoints)(/[A-Za-z0-9_][\w.+=@,-]*)+|spec\.json|events\.jsonl|metrics|system|agent\.log"
)


class _Digest(Value):
    size: NonNegativeInt
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


_FILES = TypeAdapter(dict[Word, NonNegativeInt])


class NodeClient:
    """Talks to one machine's door. Threads may share one.

    Args:
        address: ``https://host:port``, ``host:port`` for the same, or ``http://127.0.0.1:port`` for the end of a tunnel.
        certificate: The only one to be trusted, in PEM; None where the provider's own HTTPS stands before the machine.
    """

    def __init__(self, address: str, token: Secret, *, certificate: str | None = None) -> None:
        self._base = address.rstrip("/") if "://" in address else f"https://{address}"
        self._token = token
        self._tls = trust_only(certificate) if certificate else None
        self._door, self._at_once = (
            Door(
                PLATFORM, self._base, limits=limits, pace=PACE, certificate=certificate,
                credentials=lambda: {"Authorization": f"Bearer {token.reveal()}"},
            )
            for limits in (LIMITS, AT_ONCE)
        )  # fmt: skip

    def status(self) -> NodeStatus:
        """How it stands."""
        answer = self._at_once.get("/status")
        return _read(answer, lambda: NodeStatus.model_validate(answer.json()))

    def renew_lease(self) -> None:
        """Say that its owner is there."""
        self._at_once.request("POST", "/lease", repeatable=True)

    def let_go(self) -> None:
        """Say that its owner has everything: it ends itself at once where it can. Said once: it may be gone before it answers."""
        self._at_once.request("POST", "/over")

    def give_secret(self, name: str, secret: Secret) -> None:
        """Give the run a secret, ``HF_TOKEN``, and ``HF_ENDPOINT``, whose token that is. The machine keeps it in memory: one whose door died has to be given it again."""
        self._door.request("POST", "/secrets", json={name: secret.reveal()}, repeatable=True)

    def start(self, *, from_step: int = 0, needs: tuple[str, ...] = ()) -> None:
        """Have the run's agent started as soon as our package, its spec and what it needs are there, these secrets too. Again is nothing."""
        asked = {"from_step": from_step, **({"needs": " ".join(needs)} if needs else {})}
        self._door.request("POST", "/start", params=asked, repeatable=True)

    def upload(self, path: Path, name: str, *, told: Callable[[], None] = lambda: None) -> None:
        """Bring a file into the run's folder, going on from what an earlier try left. ``told``: of each piece that has arrived.

        Raises:
            Corrupt: What arrived is not what was sent. ConnectorError: See :class:`~peft_studio.connectors.base.door.Door`.
        """
        digest = sha256_of(path)
        with path.open("rb") as file:
            self._send(file.fileno(), path, name, told)
        try:
            self._door.request("POST", f"/upload/{quote(name)}", params={"sha256": digest}, repeatable=True)
        except Refused as exc:
            if exc.status != 422:
                raise
            raise Corrupt(
                f"{name} arrived on the machine changed; it was thrown away there.",
                hint="Try again. If it stays, the file changed while it was sent.",
                platform=PLATFORM.name,
            ) from exc

    def _send(self, fd: int, path: Path, name: str, told: Callable[[], None]) -> None:
        size, fruitless = path.stat().st_size, 0
        at = self._arrived(name)
        while at < size or size == 0:
            try:
                piece = os.pread(fd, CHUNK_BYTES, at)
                self._door.request(
                    "PUT", f"/upload/{quote(name)}", params={"offset": at}, content=piece,
                    headers={"Content-Type": "application/octet-stream"},
                )  # fmt: skip
                at, fruitless = at + len(piece), 0
                told()
                if size == 0:
                    return
            except (Refused, Unavailable) as exc:
                if isinstance(exc, Refused) and exc.status != 409:
                    raise
                before, at = at, self._arrived(name)
                fruitless = 0 if at > before else fruitless + 1
                if fruitless == TRIES:
                    raise

    def _arrived(self, name: str) -> int:
        found = self._door.get(f"/upload/{quote(name)}").record().get("size")
        return found if isinstance(found, int) else 0

    def list_files(self) -> dict[str, int]:
        """Files of the run that may be fetched: name → size in bytes. Those with names that no run gives are left out."""
        answer = self._at_once.get("/files/")
        found = _read(answer, lambda: _FILES.validate_python(answer.json()))
        return {name: size for name, size in found.items() if FETCHED.fullmatch(name)}

    def fetch(self, *names: str, to: Path) -> None:
        """Bring files into a folder, each under its name there, whole and with the digest that the machine names.

        Raises:
            ConnectorError: Corrupt, NoRoom and NotFound among them. What has arrived is kept for the next try.
        """
        files = []
        for name in names:
            if not FETCHED.fullmatch(name):
                raise Refused(f"{name!r} is no file of a run.", hint="See list_files().", platform=PLATFORM.name)
            answer = self._door.get(f"/digest/{quote(name)}")
            found = _read(answer, functools.partial(_Digest.model_validate, answer.json()))
            files.append(ModelFile(path=name, size_bytes=found.size, sha256=found.sha256))
            if (to / name).is_file() and sha256_of(to / name) != found.sha256:
                (to / name).unlink()
        fetch_files(self._door, Order(model="", files=tuple(files), to=to), _address)

    def find_agent(self) -> Address | None:
        """Where the run's agent answers; None when the machine says that none lives.

        Raises:
            ConnectorError: It says nothing, and may have one. The way to it may be another by now.
        """
        if not self.status().agent:
            return None
        at = urlsplit(self._base)
        secure = at.scheme == "https"
        tls = (self._tls or trusted()) if secure else None
        return Address(
            at.hostname or "", at.port or (443 if secure else 80), self._token.reveal(), f"{at.path}/agent", tls
        )

    def stream(self, *, after: int, metrics: int, system: int, over: Callable[[], bool]) -> Generator[Message]:
        """What its agent tells; see :meth:`peft_studio.core.ports.node.Node.stream`."""
        agent = AgentClient(lambda: None if over() else self.find_agent())
        yield from agent.stream(after=after, metrics=metrics, system=system)

    def command(self, name: str, **arguments: object) -> None:
        """Have its agent do something."""
        AgentClient(self.find_agent).command(name, **arguments)

    def close(self) -> None:
        """Close idle connections."""
        self._door.close()
        self._at_once.close()


def _read(answer: Answer, read: Callable[[], T]) -> T:
    try:
        return read()
    except ValidationError as exc:
        raise unreadable(PLATFORM, "what its door would not say", status=answer.status) from exc


def _address(file: ModelFile) -> str:
    return f"/files/{quote(file.path)}?until={file.size_bytes}"  # it may grow: its digest is of so much of it
