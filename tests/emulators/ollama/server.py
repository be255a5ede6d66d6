"""The daemon's routes: version, tags, show, and pull as NDJSON, whose errors come inside an answer that began with 200."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.loopback import Emulated, HangUp, Reply, Request, Routes, serve


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
class Daemon(Emulated):
    """Its models and what its registry has. ``breaks_after``: bytes after which a pull fails. ``asked`` has (method, target, JSON body)."""

    models: list[Local] = field(default_factory=list)
    registry: list[Local] = field(default_factory=list)
    breaks_after: int | None = None
    hangs_up_after: int | None = None
    answered: list[tuple[str, Any]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)  # by sha256
    created: list[dict[str, Any]] = field(default_factory=list)  # what each create was told
    answers: dict[str, str] = field(default_factory=dict)  # of every model, by the last message

    def note(self, request: Request) -> tuple[str, str, Any]:
        return request.method, request.target, None if "/blobs/" in request.target else request.json()

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


ROUTES: Routes[Daemon] = Routes()
_BLOB = "/api/blobs/sha256:([0-9a-f]{64})"


def serve_ollama(daemon: Daemon) -> AbstractContextManager[str]:
    """Serve on loopback and give the address, to be used as ``OLLAMA_HOST``."""
    return serve(daemon, ROUTES)


@ROUTES.on("GET", "/")
def root(daemon: Daemon, request: Request) -> Reply:
    return Reply(200, b"Ollama is running", {"Content-Type": "text/plain; charset=utf-8"})


@ROUTES.on("GET", "/api/version")
def version(daemon: Daemon, request: Request) -> Reply:
    return _json(daemon, request, 200, {"version": "0.12.6"})


@ROUTES.on("GET", "/api/tags")
def tags(daemon: Daemon, request: Request) -> Reply:
    return _json(daemon, request, 200, {"models": [one.summary() for one in daemon.models]})


@ROUTES.on("HEAD", _BLOB)
def has_blob(daemon: Daemon, request: Request, digest: str) -> Reply:
    return Reply(200 if digest in daemon.blobs else 404)


@ROUTES.on("POST", _BLOB)
def put_blob(daemon: Daemon, request: Request, digest: str) -> Reply:
    if hashlib.sha256(request.body).hexdigest() != digest:
        return _json(daemon, request, 400, {"error": "digest mismatch"})
    daemon.blobs[digest] = request.body
    return Reply(201)


@ROUTES.on("DELETE", "/api/delete")
def delete(daemon: Daemon, request: Request) -> Reply:
    found = daemon.find(request.json()["model"])
    if found is None:
        return _missing(daemon, request, request.json()["model"])
    daemon.models.remove(found)
    return Reply(200)


@ROUTES.on("POST", "/api/show")
def show(daemon: Daemon, request: Request) -> Reply:
    found = daemon.find(request.json()["model"])
    if found is None:
        return _missing(daemon, request, request.json()["model"])
    return _json(daemon, request, 200, found.shown())


@ROUTES.on("POST", "/api/pull")
def pull(daemon: Daemon, request: Request) -> Reply:
    return _stream(daemon, daemon.pull(request.json()["model"]))


@ROUTES.on("POST", "/api/chat")
def chat(daemon: Daemon, request: Request) -> Reply:
    body = request.json()
    if daemon.find(body["model"]) is None:
        return _missing(daemon, request, body["model"])
    text = daemon.answers[body["messages"][-1]["content"]]
    message = {"role": "assistant", "content": text}
    return _json(daemon, request, 200, {"model": body["model"], "message": message, "done": True})


@ROUTES.on("POST", "/api/copy")
def copy(daemon: Daemon, request: Request) -> Reply:
    found = daemon.find(request.json()["source"])
    if found is None:
        return _missing(daemon, request, request.json()["source"])
    daemon.models.append(dataclasses.replace(found, name=request.json()["destination"]))
    return Reply(200)


@ROUTES.on("POST", "/api/create")
def create(daemon: Daemon, request: Request) -> Reply:
    return _stream(daemon, iter(list(daemon.create(request.json()))))


def _missing(daemon: Daemon, request: Request, name: str) -> Reply:
    return _json(daemon, request, 404, {"error": f"model '{name}' not found"})


def _json(daemon: Daemon, request: Request, status: int, body: Any) -> Reply:
    daemon.answered.append((request.target, body))
    return Reply(status, body)


def _stream(daemon: Daemon, events: Iterator[dict[str, Any]]) -> Reply:
    def lines() -> Iterator[bytes]:
        for number, event in enumerate(events):
            if number == daemon.hangs_up_after:
                raise HangUp
            yield json.dumps(event).encode() + b"\n"

    return Reply(200, lines(), {"Content-Type": "application/x-ndjson"})
