"""Gated models and data sets with the vault's token alone: brought before the run starts, so that no child process has it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio.core.errors import Forbidden
from peft_studio.core.vault import Secret
from peft_studio.core.vault.offered import HUB_TOKENS
from tests.e2e.test_canaries import Watcher, search
from tests.emulators.hub import Hub, Repo, serve_hub

pytestmark = pytest.mark.slow
pytest.importorskip("torch")
TOKEN = "hf_" + "Canary" * 5 + "abcd"


def test_a_gated_model_trains_with_the_vaults_token_alone(
    studio: Studio, tiny_model: Path, tiny_rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data set and model are gated, no HF_TOKEN is anywhere; then, the model deleted again, a launch of the same spec brings it."""
    for name in (*HUB_TOKENS, "PEFT_STUDIO_CONNECTORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(studio.home / "hub client"))
    base = {path.name: path.read_bytes() for path in tiny_model.iterdir() if path.is_file()}
    allowed = {"gated": True, "readers": frozenset({TOKEN})}
    rows = Repo("org/rows", {"data/train.jsonl": tiny_rows.read_bytes()}, kind="datasets", **allowed)
    account = {"name": "ann", "type": "user", "auth": {"accessToken": {"role": "read"}}}
    hub = Hub(repos=[Repo("org/tiny", base, **allowed), rows], accounts={TOKEN: account})
    with serve_hub(hub) as address, Watcher(os.getpid()) as watcher:
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(Forbidden, match="let in"):
            studio.prepare("org/tiny")
        studio.vault.move("passphrase", Secret("correct horse"))
        studio.connect("huggingface", token=TOKEN)
        spec = studio.spec(
            model="org/tiny", data="org/rows", rank=4, max_steps=2, batch_size=4, max_length=128, precision="fp32"
        )
        assert studio.check(spec).ready
        shutil.rmtree(studio.home / "models")

        run = studio.launch(spec).wait(240)

        assert run.state == "completed"
        assert studio.quote(spec, measure=False).memory is not None
        asked = len(hub.asked)
        assert studio.prepare("org/tiny").is_relative_to(studio.home)  # as chat does
        assert len(hub.asked) == asked
    assert hub.unknown == hub.tokens_at_cdn == []
    assert (
        len([asked for asked in hub.asked if asked.endswith("tiny/resolve/main/config.json")]) == 0
    )  # one commit only
    written = {path.name: path.read_bytes() for path in studio.home.rglob("*") if path.is_file()}
    assert len(watcher.seen) >= 2
    assert search({**watcher.seen, **written}, [TOKEN]) == []
