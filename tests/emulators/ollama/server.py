"""The daemon's routes: version, tags, show, and pull as NDJSON, whose errors come inside an answer that began with 200."""

from __future__ import annotations

import contextlib
import dataclasses
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
    blobs: dict[str, bytes] = field(default_factory=dict)  # by sha256
    created: list[dict[str, Any]] = field(default_factory=list)  # what each create was told
    answers: dict[str, str] = field(default_factory=dict)  # of every model, by the last message
    lost_replies: list[str] = field(default_factory=list)  # paths whose next answer gets lost after it was done

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

    def create(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """As server/create.go: safetensors adapters for llama and gemma2 alone, one GGUF at most."""
        if "files" in body:
            yield from self._convert(body)
            return
        base = self.find(body["from"])
        if base is None:
            yield {"error": f"model '{body['from']}' not found"}
            return
        contents = []
        for name, digest in body["adapters"].items():
            if digest.removeprefix("sha256:") not in self.blobs:
                yield {"error": f"invalid digest format for {name}"}
                return
            contents.append(self.blobs[digest.removeprefix("sha256:")])
        yield {"status": "converting adapter"}
        ggufs = [content for content in contents if content.startswith(b"GGUF")]
        if not ggufs and base.family not in ("llama", "gemma2"):
            yield {"error": "unsupported architecture"}
            return
        if len(ggufs) > 1:
            yield {"error": "only one adapter is currently supported"}
            return
        self.created.append(body)
        licence = body.get("license") or []
        text = "\n".join([licence] if isinstance(licence, str) else licence)
        self.models = [one for one in self.models if one.name != body["model"]]
        self.models.append(dataclasses.replace(base, name=body["model"], license=text, more={}))
        yield {"status": "writing manifest"}
        yield {"status": "success"}

    def _convert(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A whole model from safetensors, as convert/convert.go: by its architecture, with rope and tokenizer where transformers 4 has them."""
        contents = {name: self.blobs.get(digest.removeprefix("sha256:")) for name, digest in body["files"].items()}
        if None in contents.values() or not any(name.endswith(".safetensors") for name in contents):
            yield {"error": "no such file"}
            return
        config = json.loads(contents["config.json"] or b"{}")
        if config["architectures"][0] not in ("LlamaForCausalLM", "Gemma2ForCausalLM", "Qwen2ForCausalLM"):
            yield {"error": f'unsupported architecture "{config["architectures"][0]}"'}
            return
        assert config["rope_theta"]
        assert json.loads(contents["tokenizer.json"] or b"{}")["model"]["vocab"]
        self.created.append(body)
        self.models = [one for one in self.models if one.name != body["model"]]
        self.models.append(Local(body["model"], family=config["model_type"], license="\n".join(body["license"])))
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

    def do_HEAD(self) -> None:
        self.daemon.asked.append(("HEAD", self.path, None))
        there = self.path.removeprefix("/api/blobs/sha256:") in self.daemon.blobs
        self.send_response(200 if there else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _blob(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        digest = self.path.removeprefix("/api/blobs/sha256:")
        self.daemon.asked.append(("POST", self.path, None))
        if hashlib.sha256(content).hexdigest() != digest:
            self._json(400, {"error": "digest mismatch"})
            return
        self.daemon.blobs[digest] = content
        self._answer(201, b"", "text/plain")

    def do_DELETE(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.daemon.asked.append(("DELETE", self.path, body))
        found = self.daemon.find(body["model"])
        if found is None:
            self._json(404, {"error": f"model '{body['model']}' not found"})
        else:
            self.daemon.models.remove(found)
            self._answer(200, b"", "text/plain")

    def do_POST(self) -> None:
        if self.path.startswith("/api/blobs/"):
            self._blob()
            return
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        self.daemon.asked.append(("POST", self.path, body))
        if self.path == "/api/show":
            found = self.daemon.find(body["model"])
            self._json(200, found.shown()) if found else self._json(
                404, {"error": f"model '{body['model']}' not found"}
            )
        elif self.path == "/api/pull":
            self._stream(self.daemon.pull(body["model"]))
        elif self.path in ("/api/chat", "/api/copy") and not self.daemon.find(body.get("model") or body["source"]):
            self._json(404, {"error": "model not found"})
        elif self.path == "/api/chat":
            text = self.daemon.answers[body["messages"][-1]["content"]]
            self._json(200, {"model": body["model"], "message": {"role": "assistant", "content": text}, "done": True})
        elif self.path == "/api/copy":
            found = self.daemon.find(body["source"])
            assert found is not None
            self.daemon.models.append(dataclasses.replace(found, name=body["destination"]))
            self._answer(200, b"", "text/plain")
        elif self.path == "/api/create":
            events = list(self.daemon.create(body))
            if self.path in self.daemon.lost_replies:
                self.daemon.lost_replies.remove(self.path)
                self.close_connection = True
                return
            self._stream(iter(events))
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
