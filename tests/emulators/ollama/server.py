"""The daemon's routes: version, tags, show, and pull as NDJSON, whose errors come inside an answer that began with 200."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Local:
    """A model the daemon has."""

    name: str
    size: int = 1000
    family: str = "llama"
    parameter_size: str = "135M"
    quantization_level: str = "Q4_K_M"
    parameters: int = 134_515_008
    license: str = "Apache License\nVersion 2.0, January 2004"
    modified_at: str = "2026-03-04T05:06:07.123456789-07:00"
    more: dict[str, Any] = field(default_factory=dict)

    def details(self) -> dict[str, Any]:
        return {
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameter_size,
            "quantization_level": self.quantization_level,
        }

    def summary(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.name.encode()).hexdigest()
        return {
            "name": self.name,
            "model": self.name,
            "modified_at": self.modified_at,
            "size": self.size,
            "digest": digest,
            "details": self.details(),
            **self.more,
        }

    def shown(self) -> dict[str, Any]:
        info = {"general.architecture": self.family, "general.parameter_count": self.parameters}
        return {
            "license": self.license,
            "modelfile": f"FROM {self.name}",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": self.details(),
            "model_info": info,
            "capabilities": ["completion"],
            "modified_at": self.modified_at,
        }


@dataclass
class Daemon:
    """Its models, what its registry has, and what was asked. ``breaks_after``: bytes after which a pull fails."""

    models: list[Local] = field(default_factory=list)
    registry: list[Local] = field(default_factory=list)
    breaks_after: int | None = None
    hangs_up_after: int | None = None
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    answered: list[tuple[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def find(self, name: str) -> Local | None:
        return next((one for one in self.models if one.name in (name, f"{name}:latest")), None)

    def pull(self, name: str) -> Iterator[dict[str, Any]]:
        yield {"status": "pulling manifest"}
        wanted = next((one for one in self.registry if one.name == name), None)
        if wanted is None:
            yield {"error": "pull model manifest: file does not exist"}
            return
        digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        for completed in range(0, wanted.size + 1, max(1, wanted.size // 4)):
            if self.breaks_after is not None and completed > self.breaks_after:
                yield {"error": "max retries exceeded: unexpected EOF"}
                return
            yield {"status": f"pulling {digest[7:19]}", "digest": digest, "total": wanted.size, "completed": completed}
        yield {"status": "verifying sha256 digest"}
        self.models.append(wanted)
        yield {"status": "success"}


@contextlib.contextmanager
def serve_ollama(daemon: Daemon) -> Iterator[str]:
    """Serve on loopback and give the address, to be used as ``OLLAMA_HOST``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"daemon": daemon}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    daemon: Daemon
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """The state keeps the record."""

    def do_GET(self) -> None:
        self.daemon.asked.append(("GET", self.path, None))
        if self.path == "/":
            self._answer(200, b"Ollama is running", "text/plain; charset=utf-8")
        elif self.path == "/api/version":
            self._json(200, {"version": "0.12.6"})
        elif self.path == "/api/tags":
            self._json(200, {"models": [one.summary() for one in self.daemon.models]})
        else:
            self._lost()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        self.daemon.asked.append(("POST", self.path, body))
        if self.path == "/api/show":
            found = self.daemon.find(body["model"])
            self._json(200, found.shown()) if found else self._json(
                404, {"error": f"model '{body['model']}' not found"}
            )
        elif self.path == "/api/pull":
            self._stream(self.daemon.pull(body["model"]))
        else:
            self._lost()

    def _lost(self) -> None:
        self.daemon.unknown.append(self.path)
        self._answer(404, b"404 page not found", "text/plain")

    def _json(self, status: int, body: Any) -> None:
        self.daemon.answered.append((self.path, body))
        self._answer(status, json.dumps(body).encode(), "application/json; charset=utf-8")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, events: Iterator[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, event in enumerate(events):
            if number == self.daemon.hangs_up_after:
                self.close_connection = True
                return
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")
