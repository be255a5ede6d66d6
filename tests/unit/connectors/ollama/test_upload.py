"""An adapter made a model of Ollama's daemon, on an emulator on which Ollama's own client does the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.ollama.connector import Ollama
from peft_studio.core.errors import NotFound, Refused, Unavailable
from peft_studio.core.ports import Upload
from peft_studio.core.redact import Secret
from tests.emulators.ollama import Daemon, Local, serve_ollama
from tests.specs import check_request, load_spec
from tests.unit.connectors.huggingface.test_upload import make_upload, quietly

SAFETENSORS = {
    "adapter_config.json": b"{}",
    "adapter_model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    "Modelfile": b"FROM smollm2:135m\n",
}
GGUF = {"adapter.gguf": b"GGUF\x03", "Modelfile": b"FROM qwen:0.5b\n"}
SETTINGS = {"from": "smollm2:135m", "family": "llama", "license": "apache-2.0"}


@pytest.fixture
def daemon() -> Daemon:
    return Daemon(models=[Local("smollm2:135m"), Local("qwen:0.5b", family="qwen2")])


@pytest.fixture
def address(daemon: Daemon) -> Iterator[str]:
    with serve_ollama(daemon) as address:
        yield address
    assert daemon.unknown == []


@pytest.fixture
def ollama(address: str) -> Ollama:
    return Ollama({"host": Secret(address)})


def make(folder: Path, contents: dict[str, bytes], **settings: Any) -> Upload:
    return make_upload(folder, contents, repo="orders", settings={**SETTINGS, **settings})


def test_the_official_client_creates_on_the_emulator(address: str, daemon: Daemon, tmp_path: Path) -> None:
    """A blob, a model of it, and an error inside the stream for a family that it cannot convert: by ollama's own package."""
    client = pytest.importorskip("ollama").Client(host=address)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes(SAFETENSORS[name])
    adapters = {
        name: client.create_blob(tmp_path / name) for name in ("adapter_config.json", "adapter_model.safetensors")
    }

    done = [
        event.status
        for event in client.create("theirs", from_="smollm2:135m", adapters=adapters, license="mit", stream=True)
    ]

    assert done[-1] == "success"
    assert daemon.blobs[hashlib.sha256(b"{}").hexdigest()] == b"{}"
    assert client.show("theirs").license == "mit"
    with pytest.raises(Exception, match="unsupported architecture"):
        list(client.create("theirs2", from_="qwen:0.5b", adapters=adapters, stream=True))


@pytest.mark.parametrize(
    ("contents", "settings"), [(SAFETENSORS, {}), (GGUF, {"from": "qwen:0.5b", "family": "qwen2"})]
)
def test_a_model_is_made_of_base_and_adapter(
    ollama: Ollama, daemon: Daemon, tmp_path: Path, contents: dict[str, bytes], settings: dict[str, str]
) -> None:
    """Files by digest, each sent once; the licence and our label with it; requests as Ollama's own description has them."""
    upload, seen = make(tmp_path, contents, **settings), list[int]()

    done = ollama.upload_artifact(upload, seen.append)

    assert (done.repo, done.already, done.use) == ("orders", False, ("ollama run orders",))
    assert daemon.created == [
        {
            "model": "orders", "from": upload.settings["from"], "license": ["apache-2.0", "Published by PEFT Studio: push-1"], "stream": True,
            "adapters": {file.path: f"sha256:{file.sha256}" for file in upload.files if file.path != "Modelfile"},
        }
    ]  # fmt: skip
    assert {file.sha256 for file in upload.files if file.path != "Modelfile"} == set(daemon.blobs)
    assert seen[-1] == sum(file.size_bytes for file in upload.files if file.path != "Modelfile")
    spec = load_spec("ollama.yaml")
    for method, path, body in daemon.asked:
        if not path.startswith("/api/blobs/"):
            # Its description leaves "adapters" out, which its server and its own client have.
            check_request(spec, method, path, {name: body[name] for name in body if name != "adapters"})


def test_a_repeat_changes_nothing_and_a_new_version_replaces(ollama: Ollama, daemon: Daemon, tmp_path: Path) -> None:
    """Ours is known by its label; another push of ours takes its place."""
    upload = make(tmp_path, SAFETENSORS)
    assert [ollama.upload_artifact(upload, quietly).already for _ in range(2)] == [False, True]
    assert len(daemon.created) == 1
    assert not ollama.upload_artifact(upload.model_copy(update={"id": "push-2"}), quietly).already
    assert len([one for one in daemon.models if one.name == "orders"]) == 1
    posts = [path for method, path, _ in daemon.asked if method == "POST" and path.startswith("/api/blobs/")]
    assert len(posts) == 2


def test_a_reply_lost_after_create_is_found_out(ollama: Ollama, daemon: Daemon, tmp_path: Path) -> None:
    """The error says that it may have happened; asked again, nothing is made twice."""
    daemon.lost_replies = ["POST /api/create"]
    upload = make(tmp_path, SAFETENSORS)
    with pytest.raises(Unavailable) as caught:
        ollama.upload_artifact(upload, quietly)
    assert caught.value.may_have_happened
    assert ollama.upload_artifact(upload, quietly).already
    assert len(daemon.created) == 1


def test_what_cannot_be_is_refused_before_anything_is_sent(ollama: Ollama, daemon: Daemon, tmp_path: Path) -> None:
    """A base that is not there, of another family; a model of that name that is somebody's."""
    with pytest.raises(NotFound):
        ollama.upload_artifact(make(tmp_path, SAFETENSORS, **{"from": "nothing"}), quietly)
    with pytest.raises(Refused, match="qwen2"):
        ollama.upload_artifact(make(tmp_path, SAFETENSORS, **{"from": "qwen:0.5b"}), quietly)
    daemon.models.append(Local("orders", license="mine"))
    with pytest.raises(Refused, match="not from here"):
        ollama.upload_artifact(make(tmp_path, SAFETENSORS), quietly)
    assert daemon.blobs == {}
    assert daemon.created == []


def test_an_error_inside_the_stream_is_an_error(ollama: Ollama, daemon: Daemon, tmp_path: Path) -> None:
    """Though the answer began with 200."""
    with pytest.raises(Refused, match="unsupported architecture"):
        ollama.upload_artifact(make(tmp_path, SAFETENSORS, **{"from": "qwen:0.5b", "family": "qwen2"}), quietly)
    assert daemon.created == []


WHOLE = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_theta": 10000.0}',
    "model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    "tokenizer.json": b'{"model": {"vocab": {"a": 0}}}',
    "Modelfile": b"FROM .\n",
}
EXPECT = [{"prompt": f"question {n}", "answer": f"answer {n} ", "tokens": 32} for n in range(3)]


def test_a_model_whose_answers_are_the_adapters_is_offered(ollama: Ollama, daemon: Daemon, tmp_path: Path) -> None:
    """It stands under another name until they have been compared; nothing of that is left."""
    daemon.answers = {f"question {n}": f"answer {n}" for n in range(3)}
    done = ollama.upload_artifact(make(tmp_path, SAFETENSORS, expect=EXPECT), quietly)

    assert {one.name for one in daemon.models} == {"smollm2:135m", "qwen:0.5b", "orders"}
    assert daemon.created[0]["model"] == "orders-trial:latest"
    assert "3 of 3 answers" in done.use[1]
    spec = load_spec("ollama.yaml")
    for method, path, body in daemon.asked:
        if path in ("/api/chat", "/api/copy", "/api/delete"):
            check_request(spec, method, path, body)
    assert ollama.upload_artifact(make(tmp_path, SAFETENSORS, expect=EXPECT), quietly).already


def test_a_model_that_answers_otherwise_is_not_offered(ollama: Ollama, daemon: Daemon, tmp_path: Path) -> None:
    """One answer of three is enough; both are shown, and no model is left behind."""
    daemon.answers = {"question 0": "answer 0", "question 1": "something else", "question 2": "answer 2"}
    with pytest.raises(Refused, match="1 of 3 answers differ") as caught:
        ollama.upload_artifact(make(tmp_path, SAFETENSORS, expect=EXPECT), quietly)
    assert "something else" in str(caught.value)
    assert {one.name for one in daemon.models} == {"smollm2:135m", "qwen:0.5b"}


def test_a_merged_model_is_kept_only_once_its_answers_were_compared(
    ollama: Ollama, daemon: Daemon, tmp_path: Path
) -> None:
    """Made of its files alone, without a base there; never without answers, nor with others."""
    with pytest.raises(Refused, match="only after its answers were compared"):
        ollama.upload_artifact(make_upload(tmp_path, WHOLE, repo="whole", settings={"merged": True}), quietly)
    assert daemon.blobs == {}
    settings = {"merged": True, "license": "mit", "expect": EXPECT}
    upload = make_upload(tmp_path, WHOLE, repo="whole", settings=settings)
    daemon.answers = {one["prompt"]: "something else" for one in EXPECT}
    with pytest.raises(Refused, match="3 of 3 answers differ"):
        ollama.upload_artifact(upload, quietly)
    assert daemon.find("whole") is None
    daemon.answers = {one["prompt"]: one["answer"] for one in EXPECT}
    assert not ollama.upload_artifact(upload, quietly).already

    assert daemon.find("whole") is not None
    body = daemon.created[-1]
    assert "from" not in body
    assert body["files"] == {file.path: f"sha256:{file.sha256}" for file in upload.files if file.path != "Modelfile"}
    spec = load_spec("ollama.yaml")
    check_request(spec, "POST", "/api/create", {name: value for name, value in body.items() if name != "files"})
    assert ollama.upload_artifact(upload, quietly).already
