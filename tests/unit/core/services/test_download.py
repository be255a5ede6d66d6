"""Models from the three registries onto this machine: looked at, whole, and where everything else finds them."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import threading
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.numpy import save

from peft_studio import Studio
from peft_studio.connectors.base import door, patience, transfer
from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import (
    Cancelled,
    Corrupt,
    Forbidden,
    NoRoom,
    NotAuthorised,
    NotFound,
    Offline,
    Refused,
    StudioError,
)
from peft_studio.core.models import find_prepared
from peft_studio.core.models.archive import BadArchive
from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.prepared import find_origin
from peft_studio.core.ports.download import Progress
from peft_studio.core.services.download import download_model, say_progress
from tests.conftest import wait_for
from tests.emulators.civitai import Site, make_model, serve_civitai
from tests.emulators.hub import Hub, Repo, Stored, serve_hub
from tests.emulators.ollama import Daemon, Local, serve_ollama
from tests.unit.connectors.catalog.hostile import Good

TOKEN = "hf_" + "a" * 34
WEIGHTS = save({"w": numpy.arange(100_000, dtype=numpy.float32)})
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
    "README.md": b"# Tiny",
}
LEFT_OUT = {
    "pytorch_model.bin": pickle.dumps({}),
    "onnx/model.safetensors": b"other",
    "run.py": b"import os",
    ".gitattributes": b"",
    "data.zip": b"PK",
}


class World(Studio):
    """A studio that knows of the network, and three platforms."""

    hub: Hub
    site: Site
    daemon: Daemon

    def _data_keys(self, purpose: str) -> tuple[bytes, ...]:
        return (b"k" * 32,)

    def _find_sender(self, target: str) -> None:
        return None

    def _probes(self) -> tuple[()]:
        return ()

    def put(self, repo: str, files: dict[str, Any], **facts: Any) -> None:
        self.hub.repos.append(Repo(repo, files, **facts))

    def offer(self, name: str, content: bytes, sha256: str | None = None) -> None:
        """A model of Civitai's with one file."""
        model = make_model(1, "tiny", type="LLM")
        digest = sha256 or hashlib.sha256(content).hexdigest().upper()
        model["modelVersions"][0]["files"][0] |= {
            "name": name,
            "sizeKB": len(content) / 1024,
            "hashes": {"SHA256": digest},
        }
        self.site.models[:] = [model]
        self.site.contents[10] = content


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
    monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.0)
    for name in ("PEFT_STUDIO_CONNECTORS", "HF_TOKEN", "PEFT_STUDIO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    made = World(home=tmp_path / "my home")
    made.hub, made.site, made.daemon = Hub(), Site(), Daemon(registry=[Local("tiny:1", size=4000)])
    made.hub.accounts[TOKEN] = {"name": "ann", "type": "user", "auth": {"accessToken": {"role": "read"}}}
    with ExitStack() as stack:
        monkeypatch.setenv("HF_ENDPOINT", stack.enter_context(serve_hub(made.hub)))
        monkeypatch.setenv("CIVITAI_URL", stack.enter_context(serve_civitai(made.site)))
        monkeypatch.setenv("OLLAMA_HOST", stack.enter_context(serve_ollama(made.daemon)))
        yield made
    assert made.hub.unknown == made.site.unknown == made.daemon.unknown == []
    assert made.hub.tokens_at_cdn == []


def models_of(studio: Studio) -> set[str]:
    """Files that stand where models are, notes and locks of ours left out."""
    root = studio.home / "models"
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(root).parts)
    }


def test_a_hub_model_is_found_without_a_network_afterwards(world: World) -> None:
    """By its id, as one that was prepared; its commit is known, and nothing that could run has come with it."""
    world.put("org/tiny", {**FILES, **LEFT_OUT})
    told: list[Progress] = []
    came = world.download("org/tiny", progress=told.append)

    assert came.folder is not None
    assert {path.name: path.read_bytes() for path in came.folder.iterdir()} == FILES
    assert (came.received_bytes, came.size_bytes) == (sum(map(len, FILES.values())),) * 2
    assert told[-1].done_bytes == told[-1].total_bytes == came.size_bytes
    world.offline = True
    asked = len(world.hub.asked)
    assert find_prepared("org/tiny", world.home) == came.folder == world.prepare("org/tiny")
    origin = find_origin(came.folder)
    assert origin is not None
    assert (origin.repo, origin.commit) == ("org/tiny", world.hub.repos[0].commit)
    assert len(world.hub.asked) == asked


def test_what_is_here_does_not_travel_again(world: World) -> None:
    """A new commit does, and then that one is used."""
    world.put("org/tiny", dict(FILES))
    first = world.download("org/tiny")
    again = world.download("org/tiny")
    assert (again.folder, again.received_bytes) == (first.folder, 0)
    assert "was here already" in str(again)

    world.hub.repos[0].files["model.safetensors"] = save({"w": numpy.ones(7)})
    newer = world.download("org/tiny")
    assert newer.folder != first.folder
    assert find_prepared("org/tiny", world.home) == newer.folder


def test_a_broken_download_goes_on(world: World) -> None:
    """Called off, then asked for again: what had come is not asked for twice, and meanwhile there is no model."""
    world.put("org/tiny", dict(FILES))
    world.hub.cuts[:] = [150_000, *[0] * 20]
    with pytest.raises(StudioError, match="What has arrived is kept"):
        world.download("org/tiny")
    assert models_of(world) == set()
    assert find_prepared("org/tiny", world.home) is None

    next(world.home.rglob(".model.safetensors.part")).with_name("stray.py").write_text("import os")
    world.hub.cuts.clear()
    world.hub.spans.clear()
    came = world.download("org/tiny")
    assert world.hub.spans == [(150_000, len(WEIGHTS) - 1)]
    assert came.folder is not None
    assert (came.folder / "model.safetensors").read_bytes() == WEIGHTS
    assert {path.name for path in came.folder.iterdir()} == set(FILES)


def test_gated_models_need_a_token_that_was_let_in(world: World) -> None:
    """And it goes to the hub alone, not to the host with the files."""
    world.put("org/gated", dict(FILES), gated=True, readers=frozenset({TOKEN}))
    with pytest.raises(Forbidden, match="let in"):
        world.download("org/gated")
    world.connect("huggingface", token=TOKEN, keep=False)
    assert world.download("org/gated").folder


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"config.json": b"{}", "pytorch_model.bin": pickle.dumps({})}, "only as pickle"),
        ({**FILES, "config.json": b'{"auto_map": {"AutoModel": "run.Model"}}'}, "its own Python code"),
        ({**FILES, "model.safetensors": pickle.dumps({"a": 1})}, "it is pickle"),
        ({**FILES, "model.safetensors": WEIGHTS[:-4]}, "its header promises"),
        ({**FILES, "tokenizer.json": pickle.dumps({})}, "not what its name says"),
        ({**FILES, "NUL.json": b"{}"}, "whose name cannot be one here"),
        ({**FILES, "Config.json": b"{}"}, "whose name cannot be one here"),
        ({"config.json": b"{}"}, "no .safetensors"),
    ],
)
def test_what_cannot_be_trusted_leaves_nothing(files: dict[str, bytes], why: str, world: World) -> None:
    """Whether its list says so or its content does."""
    world.put("org/bad", files)
    with pytest.raises(ModelFailure, match=why) as caught:
        world.download("org/bad")
    assert caught.value.hint
    assert models_of(world) == set()


def test_offline_says_so_and_asks_nobody(world: World) -> None:
    """With the reason, for every registry; without what knows of the network, by the environment."""
    world.offline = "on a train"
    for registry in ("huggingface", "civitai", "ollama"):
        with pytest.raises(Offline, match="on a train"):
            world.download("org/tiny", registry)
    assert world.hub.asked == world.site.asked == world.daemon.asked == []


def test_the_switch_of_the_environment_counts_alone_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A studio that does not find out about the network obeys it."""
    monkeypatch.setenv("PEFT_STUDIO_OFFLINE", "1")
    with pytest.raises(Offline, match="PEFT_STUDIO_OFFLINE"):
        Studio(home=tmp_path).download("org/tiny")


def test_no_such_model_and_no_such_registry(world: World) -> None:
    """Each in its own words."""
    with pytest.raises(NotFound):
        world.download("org/nothing")
    with pytest.raises(StudioError, match="no connector 'hugingface'"):
        world.download("org/tiny", "hugingface")


def test_a_registry_without_downloads_says_why(tmp_path: Path) -> None:
    """In its own words, before anything else is asked."""
    catalog = Catalog(tmp_path, sources=[Source("good", "test", lambda: Good.info)])
    with pytest.raises(Refused, match="gives no downloads: It has nothing to give"):
        download_model(catalog, "good", "any", home=tmp_path)


def test_no_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything large travels."""
    world.put("org/tiny", dict(FILES))
    monkeypatch.setattr(transfer, "free_bytes", lambda folder: 1000)
    with pytest.raises(NoRoom, match="no room"):
        world.download("org/tiny")
    assert not [
        asked
        for asked in world.hub.asked
        if "/resolve/" in asked and "config.json" not in asked and "README" not in asked
    ]


def test_called_off_before_it_begins(world: World) -> None:
    """An event that is set already stops it at the first byte."""
    stop = threading.Event()
    stop.set()
    world.put("org/tiny", dict(FILES))
    with pytest.raises(Cancelled):
        world.download("org/tiny", stop=stop)
    with pytest.raises(Cancelled):
        world.download("tiny:1", "ollama", stop=stop)
    assert models_of(world) == set()


def test_civitai_gives_a_version_by_its_files_digest(world: World) -> None:
    """Through a signed address of another host, which would refuse a key."""
    world.site.accounts["0123456789abcdef" * 2] = {"username": "ann"}
    world.offer("tiny.safetensors", WEIGHTS)
    world.site.members_only = True
    with pytest.raises(NotAuthorised, match="who have an account"):
        world.download("1", "civitai")
    world.connect("civitai", token="0123456789abcdef" * 2, keep=False)
    came = world.download("1", "civitai")
    assert came.folder is not None
    assert (came.folder / "tiny.safetensors").read_bytes() == WEIGHTS
    assert came.revision == "100"


def test_civitais_archives_are_unpacked_strictly(world: World) -> None:
    """Its weights are kept, its other files are not; a hostile one leaves nothing."""

    def packed(*members: tuple[str, bytes]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            for name, content in members:
                file.writestr(name, content)
        return out.getvalue()

    world.offer("tiny.zip", packed(("a/tiny.safetensors", WEIGHTS), ("a/preview.png", b"png")))
    came = world.download("1", "civitai")
    assert came.folder is not None
    assert [path.relative_to(came.folder).as_posix() for path in came.folder.rglob("*") if path.is_file()] == [
        "tiny.zip.content/a/tiny.safetensors"
    ]

    world.site.models[0]["id"] = 2
    world.offer("tiny.zip", packed(("../../evil.safetensors", WEIGHTS)))
    world.site.models[0]["modelVersions"][0]["id"] = 200
    with pytest.raises(BadArchive, match="it leads elsewhere"):
        world.download("1", "civitai")
    assert not list(world.home.rglob("*evil*"))


def test_civitai_with_another_digest_or_without_safetensors(world: World) -> None:
    """Neither is kept."""
    world.offer("tiny.safetensors", WEIGHTS, sha256="A" * 64)
    with pytest.raises(Corrupt, match="thrown away"):
        world.download("1", "civitai")
    world.offer("tiny.ckpt", pickle.dumps({}))
    with pytest.raises(ModelFailure, match="no safetensors"):
        world.download("1", "civitai")
    world.offer("../../evil.safetensors", WEIGHTS)
    with pytest.raises(ModelFailure, match=r"no safetensors|cannot be one here"):
        world.download("1", "civitai")
    assert models_of(world) == set()


def test_ollama_pulls_and_keeps(world: World) -> None:
    """The daemon has it then; progress is its layers'."""
    told: list[Progress] = []
    came = world.download("tiny:1", "ollama", progress=told.append)
    assert (came.folder, came.size_bytes) == (None, 4000)
    assert [model.name for model in world.daemon.models] == ["tiny:1"]
    assert "with ollama" in str(came)
    assert told[-1].done_bytes == 4000


def test_ollamas_errors_in_mid_stream(world: World) -> None:
    """They come in an answer that began with 200."""
    world.daemon.breaks_after = 1000
    with pytest.raises(Refused, match="unexpected EOF"):
        world.download("tiny:1", "ollama")
    with pytest.raises(NotFound, match="does not exist"):
        world.download("nothing", "ollama")
    assert world.daemon.models == []


def test_an_interrupt_stops_the_download_too(world: World, tmp_path: Path) -> None:
    """Ctrl-C ends the wait, and what was waited for ends, too; what had come is kept."""
    (tmp_path / "weights").write_bytes(WEIGHTS)
    held = Stored(tmp_path / "weights", hold_at=200_000)
    world.put("org/tiny", {**FILES, "model.safetensors": held})
    stop = threading.Event()

    def interrupt(progress: Progress) -> None:
        if progress.what == "model.safetensors":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.download("org/tiny", progress=interrupt, stop=stop)
    assert stop.is_set()
    held.go_on.set()
    part = next(world.home.rglob(".model.safetensors.part"))
    wait_for(lambda: part.stat().st_size >= 100_000, "the download to end")
    assert find_prepared("org/tiny", world.home) is None


def test_downloads_leave_room_for_questions(world: World, tmp_path: Path) -> None:
    """Two of a registry are under way at once; a third waits, and the registry can still be searched."""
    (tmp_path / "weights").write_bytes(WEIGHTS)
    held = [Stored(tmp_path / "weights", hold_at=1000) for _ in range(3)]
    for number, content in enumerate(held):
        world.put(f"org/tiny-{number}", {**FILES, "config.json": b'{"n": %d}' % number, "model.safetensors": content})
    came: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: came.append(world.download(f"org/tiny-{n}"))) for n in range(3)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(world.hub.spans) == 2, "two to be under way")
    assert len(world.models("org", registries=["huggingface"], task=None)) == 3
    assert len(world.hub.spans) == 2
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled, match="before its turn"):
        world.download("org/tiny-0", stop=stop)
    for content in held:
        content.go_on.set()
    for thread in threads:
        thread.join(30)
    assert len({one.folder for one in came}) == 3


def test_progress_in_words() -> None:
    """What is known of it."""
    assert say_progress(Progress(1_200_000_000, 2_700_000_000, 84e6, "x")) == "1.2 GB of 2.7 GB, 84 MB/s, 18 s left"
    assert say_progress(Progress(500, None, None, "x")) == "0 kB"


def test_pointers_hold_no_more_than_they_must(world: World) -> None:
    """Folder and commit."""
    world.put("org/tiny", dict(FILES))
    came = world.download("org/tiny")
    record = json.loads((world.home / "models" / "hub" / "org--tiny.json").read_text())
    assert record == {"folder": str(came.folder), "commit": world.hub.repos[0].commit}
