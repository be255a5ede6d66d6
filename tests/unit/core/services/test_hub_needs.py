"""What a run needs of the hub: brought through its connector, or taken from what other programs have brought already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.numpy import save

from peft_studio import Studio
from peft_studio.connectors.base import door, patience, transfer
from peft_studio.core.errors import DataError, Offline
from peft_studio.core.models import find_prepared
from peft_studio.core.models.prepared import find_pointed
from peft_studio.core.services.hub_needs import is_to_come
from tests.emulators.hub import Hub, Repo, serve_hub

FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": save({"w": numpy.arange(1000, dtype=numpy.float32)}),
}
ROWS = b'{"prompt": "a", "completion": "b"}\n' * 3


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with a model and a data set, and a client's cache that is empty."""
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
    monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.0)
    for name in ("PEFT_STUDIO_CONNECTORS", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "client"))
    state = Hub(repos=[Repo("org/tiny", dict(FILES)), Repo("org/rows", {"data/a.jsonl": ROWS}, kind="datasets")])
    with serve_hub(state) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield state
    assert state.unknown == []


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(home=tmp_path / "home")


def put_in_cache(cache: Path, repo: Repo) -> Path:
    """A repository as the hub's client leaves it: files are links to blobs that are named by their digests."""
    root = cache / "hub" / f"models--{repo.id.replace('/', '--')}"
    folder, blobs = root / "snapshots" / repo.commit, root / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    for name, content in repo.files.items():
        assert isinstance(content, bytes)
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        digest = hashlib.sha256(content).hexdigest() if name.endswith(".safetensors") else git
        (blobs / digest).write_bytes(content)
        (folder / name).symlink_to(blobs / digest)
    return folder


def test_a_model_comes_through_the_connector(hub: Hub, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """By ranges of ours and into the home; asked for again, nobody is asked."""
    said: list[str] = []
    folder = studio.prepare("org/tiny", progress=said.append)
    assert folder.is_relative_to(studio.home)
    assert said == ["Asking the hub for org/tiny"]
    hub.asked.clear()
    assert studio.prepare("org/tiny") == folder
    assert hub.asked == []
    assert not is_to_come("org/tiny", studio.home)


def test_what_the_hubs_client_has_brought_does_not_travel_again(hub: Hub, studio: Studio, tmp_path: Path) -> None:
    """Whole and of the digests that the hub tells; one blob of another size, and all of it comes anew."""
    cached = put_in_cache(tmp_path / "client", hub.repos[0])
    assert studio.prepare("org/tiny") == cached
    assert not [asked for asked in hub.asked if "resolve" in asked and "config.json" not in asked]

    (cached / "model.safetensors").resolve().write_bytes(b"torn")
    other = Studio(home=tmp_path / "other")
    assert other.prepare("org/tiny").is_relative_to(other.home)


def test_the_environments_token_is_left_to_the_hubs_own_client(
    hub: Hub, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was never given to us. Nor is a connector asked that is switched off, or a hub that is."""
    monkeypatch.setenv("HF_TOKEN", "hf_" + "e" * 34)
    asked: list[str] = []
    monkeypatch.setattr("peft_studio.core.services.prepare.run_worker", lambda order, say: asked.append(order[1]) or {"folder": "x"})  # fmt: skip
    studio.prepare("org/tiny")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    studio.prepare("org/tiny")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    studio.disable("huggingface")
    studio.prepare("org/tiny")
    assert asked == ["org/tiny"] * 3
    assert hub.asked == []


def test_a_data_set_comes_through_the_connector(hub: Hub, studio: Studio) -> None:
    """At its newest commit; what is here is not brought again, and is what there is without a network."""
    data: Any = studio.data("org/rows")
    assert (data.rows, data.ref.origin) == (3, "hub:org/rows")
    folder = find_pointed("org/rows", studio.home, kind="datasets")
    assert folder is not None
    assert folder.is_relative_to(studio.home)
    hub.asked.clear()
    studio.data("org/rows")
    assert hub.asked == ["GET /api/datasets/org/rows"]
    studio.offline = "on a train"
    assert studio.data("org/rows").rows == 3
    with pytest.raises(Offline):
        studio.data("org/others")


def test_a_data_set_that_is_built_by_a_script_is_refused(hub: Hub, studio: Studio) -> None:
    """Before anything travels; and a name that leads elsewhere is none of ours."""
    hub.repos[1].files = {"rows.py": b"import os"}
    with pytest.raises(DataError, match="1 files of other kinds"):
        studio.data("org/rows")
    hub.repos[1].files = {"../../a.jsonl": ROWS}
    with pytest.raises(DataError, match="cannot be one here"):
        studio.data("org/rows")
    assert not [asked for asked in hub.asked if "resolve" in asked]
    assert find_prepared("org/rows", studio.home) is None
