"""The daemon's HTTP API: addresses, bodies, and streams that report an error after they have begun.

Checked against ollama's own Python client 0.6 and its docs/openapi.yaml, November 2026.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from peft_studio.connectors.base.answer import Answer, Platform, build_error, parse_json, unreadable
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.parts import Stretch
from peft_studio.connectors.base.patience import Limits
from peft_studio.connectors.base.reading import record
from peft_studio.connectors.ollama import INFO
from peft_studio.core.errors import ConnectorError, NotFound, Refused, Unavailable

PLATFORM = Platform(INFO.name, INFO.title)
PORT = 11434
# On this machine an answer comes at once or not at all; while it loads a model it may take a while.
LIMITS = Limits(connect_s=2.0, read_s=30.0, attempts=2)
WIDE = Limits(
    connect_s=2.0, read_s=600.0, total_s=6 * 3600.0, attempts=2
)  # files, conversions, answers of a model that loads
PACE = (200.0, 200)


class OllamaApi:
    """Calls of the daemon. ``host``: as in OLLAMA_HOST."""

    def __init__(self, host: str | None) -> None:
        self.address = build_address(host or os.environ.get("OLLAMA_HOST") or "")
        self._door = Door(PLATFORM, self.address, limits=LIMITS, pace=PACE, read_error=read_error)
        self._wide = Door(PLATFORM, self.address, limits=WIDE, pace=PACE, read_error=read_error)

    def get_version(self) -> str:
        """The daemon's version."""
        found = self._ask("GET", "/api/version").record().get("version")
        if not isinstance(found, str):
            raise unreadable(PLATFORM, "no version: something else listens there")
        return found

    def list_models(self) -> list[Any]:
        """The models it has."""
        return self._ask("GET", "/api/tags").listed("models")

    def show(self, model: str) -> Mapping[str, Any]:
        """What it knows of one of them."""
        # It only reads, so a lost reply may be asked for again.
        return self._ask("POST", "/api/show", {"model": model}).record()

    def pull(self, model: str) -> Generator[Mapping[str, Any], None, None]:
        """Fetch a model from the registry; progress with ``status``, ``total`` and ``completed``. Begun again it goes on.

        Raises:
            ConnectorError: Also after it has begun: the daemon reports errors inside a stream that started well.
        """
        yield from self._stream("/api/pull", {"model": model})

    def has_blob(self, sha256: str) -> bool:
        """Whether the daemon has a file already."""
        try:
            self._ask("HEAD", f"/api/blobs/sha256:{sha256}")
        except NotFound:
            return False
        return True

    def send_blob(self, sha256: str, content: Stretch) -> None:
        """Give it a file. Sent twice it is kept once."""
        path = f"/api/blobs/sha256:{sha256}"
        self._wide.request("POST", path, content=content, headers=content.headers, repeatable=True)

    def create(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Make a model of a base and files that it has; progress with ``status``. Made twice it is the same model.

        Raises:
            ConnectorError: Also after it has begun, as with :meth:`pull`.
        """
        yield from self._stream("/api/create", {**body, "stream": True}, self._wide)

    def answer(self, model: str, prompt: str, *, tokens: int) -> str:
        """What a model says to a prompt in its own template, the likeliest token each time."""
        body = {
            "model": model, "messages": [{"role": "user", "content": prompt}], "stream": False,
            "options": {"temperature": 0, "seed": 0, "num_predict": tokens},
        }  # fmt: skip
        answer = self._wide.request("POST", "/api/chat", json=body, repeatable=True)
        return str(record(answer.record(), "message").get("content") or "")

    def delete(self, model: str) -> None:
        """Take a model out. One that is not there is out already."""
        with contextlib.suppress(NotFound):
            self._ask("DELETE", "/api/delete", {"model": model})

    def copy(self, source: str, destination: str) -> None:
        """Give a model another name, too."""
        self._ask("POST", "/api/copy", {"source": source, "destination": destination})

    def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        try:
            return self._door.request(method, path, json=body, repeatable=True)
        except Unavailable as exc:
            if exc.status is None:
                exc.hint = f"Start it (`ollama serve`, or its app), or give its address; {self.address} was asked."
            raise

    def _stream(self, path: str, body: Any, door: Door | None = None) -> Iterator[Mapping[str, Any]]:
        """Events of a stream, up to "success"; its end without that word is an error."""
        done = False
        for line in (door or self._door).lines("POST", path, json=body):
            event = parse_json(PLATFORM, line)
            if not isinstance(event, dict):
                raise unreadable(PLATFORM, "a line that is no object")
            if "error" in event:
                raise _explain(str(event["error"]))
            done = event.get("status") == "success"
            yield event
        if not done:
            raise unreadable(PLATFORM, "a stream that ends before it is done")


def build_address(host: str) -> str:
    """The address that an OLLAMA_HOST means: scheme and port may be missing, and 0.0.0.0 is where it listens, not where it is."""
    text = host.strip().rstrip("/")
    scheme, _, rest = text.rpartition("://")
    name, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        name, port = rest, {"http": "80", "https": "443"}.get(scheme, str(PORT))
    if name in ("", "0.0.0.0", "[::]"):  # noqa: S104  # to call, not to listen
        name = "127.0.0.1"
    return f"{scheme or 'http'}://{name}:{port}"


def read_error(answer: Answer) -> ConnectorError | None:
    """A missing model is the one error that needs words of its own."""
    if answer.status != 404:
        return None
    error = build_error(answer)
    error.hint = "`ollama list` names the models that are there; `ollama pull NAME` brings one."
    return error


def _explain(said: str) -> ConnectorError:
    """An error inside a stream."""
    kind = NotFound if "does not exist" in said or "not found" in said else Refused
    return kind(f"Ollama stopped: {said[:300]}", hint="What it said names the reason.", platform=INFO.name)
