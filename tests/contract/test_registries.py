"""Our own registries keep the contract that others are held to, each against its emulator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from peft_studio.connectors import civitai, huggingface, ollama
from peft_studio.connectors.base.conformance import RegistryConformance
from peft_studio.core.ports import Query
from tests.emulators.civitai import Site, make_model, serve_civitai
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.emulators.ollama import Daemon, Local, serve_ollama


class TestHuggingFace(RegistryConformance):
    INFO, ADDRESS_VARIABLE = huggingface.INFO, "HF_ENDPOINT"
    FINDS, KNOWN, MISSING = Query(text="tiny"), "org/tiny-1", "org/nothing"
    KEYS = {"token": "hf_" + "a" * 34}  # noqa: RUF012
    WRONG_KEYS = {"token": "hf_" + "b" * 34}  # noqa: RUF012
    PUBLISHES_TO = "ann/adapter"

    @pytest.fixture(autouse=True)
    def platform(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        repos = [
            Repo(f"org/tiny-{n}", {"config.json": b"{}"}, facts={"pipeline_tag": "text-generation", "downloads": n})
            for n in range(3)
        ]
        account = {"type": "user", "name": "ann", "orgs": [], "auth": {"accessToken": {"role": "write"}}}
        with serve_hub(Hub(repos=repos, accounts={self.KEYS["token"]: account})) as address:
            monkeypatch.setenv(self.ADDRESS_VARIABLE, address)
            yield


class TestCivitai(RegistryConformance):
    INFO, ADDRESS_VARIABLE = civitai.INFO, "CIVITAI_URL"
    FINDS, KNOWN, MISSING = Query(text="tiny"), "1", "77"
    KEYS = {"token": "0123456789abcdef" * 2}  # noqa: RUF012
    WRONG_KEYS = {"token": "f" * 32}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def platform(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        models = [make_model(n, f"tiny {n}", type="LLM") for n in range(1, 4)]
        # Sent as it is, and of a size that is no whole number of kilobytes.
        models[0]["modelVersions"][0]["files"][0] |= {
            "sizeKB": 7 / 1024,
            "hashes": {"SHA256": hashlib.sha256(b"weights").hexdigest().upper()},
        }
        site = Site(
            models=models,
            accounts={self.KEYS["token"]: {"username": "ann"}},
        )
        with serve_civitai(site) as address:
            monkeypatch.setenv(self.ADDRESS_VARIABLE, address)
            yield


class TestOllama(RegistryConformance):
    INFO, ADDRESS_VARIABLE = ollama.INFO, "OLLAMA_HOST"
    FINDS, KNOWN, MISSING = Query(text="tiny"), "tiny:1", "nothing"
    PUBLISHES_TO, SETTINGS = "adapter", {"from": "tiny:1"}

    @pytest.fixture(autouse=True)
    def platform(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with serve_ollama(Daemon(models=[Local("tiny:1"), Local("tiny:2")])) as address:
            monkeypatch.setenv(self.ADDRESS_VARIABLE, address)
            yield
