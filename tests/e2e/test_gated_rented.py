"""A gated base model on a rented machine: the token goes through the machine's own door into one process's memory, and is nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.errors import NotReadyError
from peft_studio.core.ports import OfferQuery
from peft_studio.core.services.rent.limits import LAG_VARIABLE
from peft_studio.core.vault.offered import HUB_TOKENS
from tests.e2e.test_canaries import Watcher, search
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.emulators.machine import Machines
from tests.emulators.providers import KEYS, serve

pytestmark = [pytest.mark.slow, pytest.mark.stress]  # about a minute
pytest.importorskip("torch")
TOKEN = "hf_" + "Canary" * 5 + "rent"


def test_a_gated_model_trains_on_a_rented_machine(
    studio: Studio, tiny_model: Path, tiny_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a token nothing is rented, and it is said why; with it the machine brings the model, and no process, file or request has it."""
    for name in (*HUB_TOKENS, "PEFT_STUDIO_CONNECTORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub client"))
    monkeypatch.setenv(LAG_VARIABLE, "1")
    base = {path.name: path.read_bytes() for path in tiny_model.iterdir() if path.is_file()}
    account = {"name": "ann", "type": "user", "auth": {"accessToken": {"role": "read"}}}
    gated = Repo("org/tiny", base, gated=True, readers=frozenset({TOKEN}))
    hub = Hub(repos=[gated], accounts={TOKEN: account})
    bodies: list[bytes] = []
    with (
        serve_hub(hub) as address,
        Machines(tmp_path / "machines") as machines,
        serve("vastai", machines) as (market, found_at),
        Watcher(os.getpid()) as watcher,
    ):
        for name, value in {**found_at, "HF_ENDPOINT": address}.items():
            monkeypatch.setenv(name, value)
        note_bodies(market, bodies, monkeypatch)
        studio.connect("vastai", key=KEYS["vastai"], keep=False)
        studio.connect("huggingface", token=TOKEN, keep=False)
        spec = studio.spec(
            model="org/tiny", data=str(tiny_rows), rank=4, max_steps=2, batch_size=4, max_length=128, precision="fp32"
        )
        offer = studio._machines.rentals()["vastai"].list_offers(OfferQuery()).offers[0]
        studio.disconnect("huggingface")
        with pytest.raises(NotReadyError, match="gated: a rented machine gets it with your token alone") as caught:
            studio.launch(spec, compute=offer, max_usd=1)
        assert 'studio.connect("huggingface"' in caught.value.hint
        assert not studio._machines.rentals()["vastai"].list_instances().instances

        studio.connect("huggingface", token=TOKEN, keep=False)
        run = studio.launch(spec, compute=offer, max_usd=1)
        run.wait(timeout=200)
        assert run.state == "completed"
        assert "downloading" in [phase.phase for phase in run.read()[0].phases]
        came = list((tmp_path / "machines").rglob("snapshots/*/config.json"))
        assert came
    assert hub.unknown == hub.tokens_at_cdn == []
    written = {
        str(path): path.read_bytes() for root in (studio.home, tmp_path) for path in root.rglob("*") if path.is_file()
    }
    printed = {f"printed {number}": body for number, body in enumerate(bodies)}
    assert len(bodies) > 2
    assert any(b"--token-on-stdin" in seen for seen in watcher.seen.values())
    assert any(b"--given" in seen for seen in watcher.seen.values())
    assert len(watcher.seen) >= 4
    assert search({**watcher.seen, **written, **printed}, [TOKEN]) == []


def note_bodies(market: Any, bodies: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the provider was sent."""
    before = market.before

    def note(request: Any) -> Any:
        bodies.append(repr((request.path, dict(request.headers), request.body)).encode())
        return before(request)

    monkeypatch.setattr(market, "before", note)
