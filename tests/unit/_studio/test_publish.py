"""studio.push on a home with a completed run, against emulators of the hub: plan, confirmation, record, outbox, permission."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.connectors.base import door, patience
from peft_studio.core.errors import AdapterMismatch, Forbidden, NotReadyError, StudioError, Unavailable
from peft_studio.core.redact import REDACTOR, Secret
from tests.emulators.hub import Hub, serve_hub
from tests.emulators.ollama import Daemon, Local, serve_ollama
from tests.made_run import RUN_ID, write_made_run

TOKEN = "hf_" + "a" * 34
COMMIT = "POST /api/models/me/x/commit/main"


def account(role: str = "write") -> dict[str, Any]:
    return {"type": "user", "name": "me", "orgs": [], "auth": {"type": "access_token", "accessToken": {"role": role}}}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
    for name in ("PEFT_STUDIO_CONNECTORS", "PEFT_STUDIO_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    state = Hub(accounts={TOKEN: account()})
    with serve_hub(state) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield state
    assert state.unknown == []


@pytest.fixture
def studio(hub: Hub, tmp_path: Path) -> Studio:
    write_made_run(tmp_path / "home")
    made = Studio(home=tmp_path / "home")
    made.connect("huggingface", token=TOKEN, keep=False)
    hub.asked.clear()
    return made


def lines(studio: Studio) -> list[tuple[str, str]]:
    return [(line["what"], line["id"]) for line in studio.publications()]


def test_without_a_confirmation_nothing_happens(studio: Studio, hub: Hub, tmp_path: Path) -> None:
    """The plan lists files, bytes, digests, visibility, destination and what stays; no packet leaves, no file is written."""
    before = sorted(path for path in tmp_path.rglob("*") if "index" not in path.name)
    plan = studio.push(studio.run(RUN_ID).adapter, to="huggingface", repo="me/x")

    assert [file.path for file in plan.files] == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "peft_studio.json", "peft_studio_spec.json",
    ]  # fmt: skip
    assert plan.ready
    assert plan.private
    shown = repr(plan)
    assert f"{plan.size_bytes:,} bytes, with Hugging Face as me/x (private: only you see it)" in shown
    assert "checkpoints: optimizer and random states" in shown
    assert "Nothing has been shared" in shown
    for file in plan.files:
        assert f"{file.size_bytes:,}" in shown
        assert file.sha256[:12] in plan._repr_html_()
    assert hub.asked == []
    assert sorted(path for path in tmp_path.rglob("*") if "index" not in path.name) == before
    assert "PUBLIC" in repr(studio.push(RUN_ID, to="huggingface", repo="me/x", private=False))


def test_a_confirmed_push_is_recorded_and_arrives(studio: Studio, hub: Hub) -> None:
    """Intent first; then link, revision and lines to use it. The files are those of the plan."""
    plan = studio.push(RUN_ID, to="huggingface", repo="me/x")
    seen: list[int] = []
    done = studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True, progress=seen.append)

    repo = hub.find("models", "me/x")
    assert repo is not None
    assert {file.path for file in plan.files} == set(repo.files) - {".gitattributes"}
    assert repo.files["README.md"].decode() == plan.card
    assert repo.private
    assert "/me/x" in repr(done)
    assert "hf download me/x" in repr(done)
    assert seen[-1] == plan.size_bytes
    assert lines(studio) == [("intended", plan.id), ("published", plan.id)]
    intended, published = studio.publications()
    assert {one["path"]: one["sha256"] for one in intended["files"]} == {one.path: one.sha256 for one in plan.files}
    assert (intended["to"], intended["repo"], intended["private"], published["revision"]) == (
        "huggingface",
        "me/x",
        True,
        repo.commit,
    )


def test_the_intent_is_on_disk_before_anything_leaves(
    studio: Studio, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies in the upload leaves its intent; the same push again ends with one commit."""
    from peft_studio.connectors.huggingface.upload import HubUpload

    commit = HubUpload._commit

    def die(self: Any, *given: Any, **named: Any) -> None:
        commit(self, *given, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(HubUpload, "_commit", die)
    with pytest.raises(StudioError):
        studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)
    assert lines(studio)[0][0] == "intended"

    monkeypatch.setattr(HubUpload, "_commit", commit)
    done = studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)
    assert "nothing was changed" in repr(done)
    assert len(hub.commits) == 1


def test_a_process_killed_behind_the_commit_does_not_double(studio: Studio, hub: Hub) -> None:
    """SIGKILL while the answer is on its way: the intent is on disk, and the next push finds it done."""
    hub.held = COMMIT
    code = (
        "import sys; from peft_studio import Studio; made = Studio(home=sys.argv[1])\n"
        "made.connect('huggingface', token=sys.stdin.readline().strip(), keep=False)\n"
        f"made.push('{RUN_ID}', to='huggingface', repo='me/x', confirm=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(studio.home)], stdin=subprocess.PIPE, text=True)
    assert process.stdin
    process.stdin.write(TOKEN + "\n")
    process.stdin.flush()
    assert hub.reached.wait(60)
    process.kill()
    process.wait(30)
    process.stdin.close()
    hub.held = ""
    hub.release.set()
    assert [what for what, _ in lines(studio)] == ["intended"]

    done = studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)

    assert "nothing was changed" in repr(done)
    assert len(hub.commits) == 1


def test_a_lost_reply_after_the_commit_does_not_double(studio: Studio, hub: Hub) -> None:
    """One commit, whatever was lost, and a repeat is none."""
    hub.lost_replies = [COMMIT]
    first = studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)
    again = studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)

    assert not hasattr(first, "files")
    assert "nothing was changed" in repr(again)
    assert len(hub.commits) == 1


def test_offline_it_waits_and_goes_once(studio: Studio, hub: Hub) -> None:
    """Queued twice it is one entry; sent with a lost reply it is one commit; the record says each step."""
    studio.offline = "on a train"
    for _ in range(2):
        waits = studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)
    assert "waits in the outbox" in repr(waits)
    assert "on a train" in repr(waits)
    assert len(studio.outbox) == 1
    assert "1 upload waits" in studio.outbox.summary
    assert hub.asked == []

    hub.lost_replies = [COMMIT]
    studio.offline = False
    studio.sync(timeout_s=30)

    assert len(studio.outbox) == 0
    assert len(hub.commits) == 1
    assert [what for what, _ in lines(studio)] == ["intended", "queued", "intended", "queued", "published"]
    assert studio.outbox.sent()[0].text.endswith("/me/x")


def test_what_was_refused_or_dropped_in_the_outbox_can_be_pushed_again(studio: Studio, hub: Hub) -> None:
    """Pushing again while offline is a person's word: it waits again, whatever became of it before."""
    hub.accounts[TOKEN] = account("read")
    studio.offline = "on a train"
    studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)
    studio.offline = False
    studio.sync(timeout_s=30)
    assert [entry.state for entry in studio.outbox] == ["dead"]

    studio.offline = "on a train"
    studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)
    assert [entry.state for entry in studio.outbox] == ["waiting"]
    studio.outbox.drop(studio.outbox[0].id)
    studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)
    assert [entry.state for entry in studio.outbox] == ["waiting"]
    hub.accounts[TOKEN] = account("write")
    studio.offline = False
    studio.sync(timeout_s=30)
    assert len(hub.commits) == 1


def test_without_a_route_it_waits(studio: Studio, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody said that there is no network; that nothing answers is enough."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
    other = Studio(home=studio.home)
    other._catalog.attach("huggingface", {"token": Secret(TOKEN)})
    other._connections._attached.add("huggingface")

    waits = other.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)

    assert "waits in the outbox" in repr(waits)
    assert len(other.outbox) == 1


def test_a_refusal_is_recorded_and_raised(studio: Studio, hub: Hub) -> None:
    """What the platform said stands in the record; nothing is there."""
    hub.accounts[TOKEN] = account("read")
    with pytest.raises(Forbidden):
        studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)

    assert [what for what, _ in lines(studio)] == ["intended", "failed"]
    assert hub.repos == []


@pytest.mark.parametrize("secret", ["hf_" + "z" * 34, "correct horse battery"])
def test_a_secret_in_any_file_blocks(hub: Hub, tmp_path: Path, secret: str) -> None:
    """A key by its shape, or one that this process knows: named by file and line, quoted nowhere, and nothing leaves."""
    REDACTOR.add(Secret("correct horse battery"))
    write_made_run(tmp_path, tags=(f"made with {secret}",))
    studio = Studio(home=tmp_path)
    studio.connect("huggingface", token=TOKEN, keep=False)
    hub.asked.clear()

    plan = studio.push(RUN_ID, to="huggingface", repo="me/x")

    assert not plan.ready
    assert "peft_studio_spec.json, line" in repr(plan)
    assert "Blocked" in repr(plan)
    assert secret not in repr(plan) + plan._repr_html_()
    with pytest.raises(NotReadyError, match="Nothing was shared"):
        studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)
    assert hub.asked == []
    assert studio.publications() == []


def test_nothing_of_this_machine_is_shared(hub: Hub, tmp_path: Path, tiny_model: Path) -> None:
    """No folder, no prompt, no row, no pickle, whatever the spec names."""
    from peft_studio.core.spec import DataRef

    ref = DataRef(
        path=f"{tmp_path}/secret place/rows.jsonl",
        origin=f"{tmp_path}/secret place/rows.jsonl",
        format="messages",
        rows=9,
        sha256="0" * 64,
    )
    write_made_run(tmp_path, model=str(tiny_model), data=ref, sample_prompts=("Who is Mina?",), sample_steps=5)
    plan = Studio(home=tmp_path).push(RUN_ID, to="huggingface", repo="me/x")

    assert plan.ready, plan
    everything = "".join(file.read() for file in plan.files)
    for private in (str(tmp_path), str(tiny_model.parent), "secret place", "Mina", "training_args"):
        assert private not in everything
    assert "base='org/name'" in repr(plan)
    named = Studio(home=tmp_path).push(RUN_ID, to="huggingface", repo="me/x", base="org/tiny")
    files = {file.path: file.read() for file in named.files}
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "org/tiny"
    assert 'base_model: "org/tiny"' in files["README.md"]


def test_weights_that_are_not_the_runs_are_not_shared(studio: Studio) -> None:
    """A file that was changed after the run is refused before anything is shown."""
    weights = studio.run(RUN_ID).adapter.path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    with pytest.raises(AdapterMismatch, match="its digest is another"):
        studio.push(RUN_ID, to="huggingface", repo="me/x")


@pytest.mark.parametrize("repo", ["", "me/x/y", "../x", "me/..", "me x", "me/x\n", "-x"])
def test_a_place_that_is_none_is_refused(studio: Studio, hub: Hub, repo: str) -> None:
    """Before anything else."""
    with pytest.raises(StudioError, match="no name of a place"):
        studio.push(RUN_ID, to="huggingface", repo=repo, confirm=True)
    assert hub.asked == []


def test_civitai_gets_a_folder_and_steps(studio: Studio, hub: Hub) -> None:
    """Nothing is uploaded, and it says why; the metadata has every digest."""
    plan = studio.push(RUN_ID, to="civitai", repo="my-lora")
    assert "1. Open https://civitai.com" in repr(plan)
    done: Any = studio.push(RUN_ID, to="civitai", repo="my-lora", confirm=True)

    assert "nothing has been uploaded" in repr(done)
    assert {path.name for path in done.folder.iterdir()} == {file.path for file in plan.files}
    metadata = json.loads((done.folder / "metadata.json").read_text())
    assert metadata["files"]["adapter_model.safetensors"]["sha256"] == studio.run(RUN_ID).adapter.sha256
    assert [what for what, _ in lines(studio)] == ["intended", "bundled"]


@pytest.mark.parametrize(
    ("role", "push", "found"),
    [
        ("write", "huggingface:me/x", set()),
        ("read", "huggingface:me/x", {("push_forbidden", "blocking")}),
        (None, "huggingface:me/x", {("push_unsure", "warning")}),
        ("write", "huggingface:them/x", {("push_owner", "warning")}),
        ("write", "civitai:x", {("push_by_hand", "info")}),
    ],
)
def test_permission_is_checked_before_training(
    tmp_path: Path, hub: Hub, role: Any, push: str, found: set[tuple[str, str]], tiny_model: Path, tiny_rows: Path
) -> None:
    """A key that may not write blocks the check; hours later would be too late."""
    hub.accounts[TOKEN] = account(role)
    studio = Studio(home=tmp_path)
    studio.connect("huggingface", token=TOKEN, keep=False)
    spec = studio.spec(model=str(tiny_model), data=str(tiny_rows), max_steps=2)

    check = studio.check(spec, push=push)

    assert {(one.code, one.severity) for one in check.problems if one.code.startswith("push_")} == found
    assert not [asked for asked in hub.asked if not asked.startswith("GET")]
    assert {one.code for one in studio.check(spec).problems if one.code.startswith("push_")} == set()


def test_a_push_without_an_account_is_told_before_training(
    hub: Hub, tmp_path: Path, tiny_model: Path, tiny_rows: Path
) -> None:
    """Not connected, unreachable, no such platform."""
    studio = Studio(home=tmp_path)
    spec = studio.spec(model=str(tiny_model), data=str(tiny_rows), max_steps=2)
    assert not studio.check(spec, push="huggingface:me/x").ready
    hub.down = True
    studio = Studio(home=tmp_path)
    assert [
        one.severity for one in studio.check(spec, push="huggingface:me/x").problems if one.code == "push_unknown"
    ] == ["warning"]
    with pytest.raises(StudioError, match="no connector"):
        studio.check(spec, push="huggingfac:me/x")
    with pytest.raises(StudioError, match="no place"):
        studio.check(spec, push="me/x")


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    state = Daemon(models=[Local("tiny:base"), Local("qwen:base", family="qwen2")])
    with serve_ollama(state) as address:
        monkeypatch.setenv("OLLAMA_HOST", address)
        yield state


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ({}, {"adapter_config.json", "adapter_model.safetensors", "Modelfile"}),
        ({"method": "rslora"}, {"adapter.gguf", "Modelfile"}),
    ],
)
def test_ollama_gets_what_it_can_read(
    hub: Hub, daemon: Daemon, tmp_path: Path, tiny_model: Path, fields: dict[str, Any], files: set[str]
) -> None:
    """A llama's LoRA as it is; rsLoRA, which the daemon would scale wrongly, as GGUF. Nothing is sent before the confirmation."""
    write_made_run(tmp_path, model=str(tiny_model), **fields)
    studio = Studio(home=tmp_path)
    plan = studio.push(RUN_ID, to="ollama", repo="orders", from_model="tiny:base", prompts=[])
    assert "no prompts to compare" in repr(plan)
    assert {file.path for file in plan.files} == files
    assert "with Ollama as orders (on this machine)" in repr(plan)
    assert daemon.asked == []
    studio.offline = "on a train"  # which is no hindrance for what is here

    done = plan.confirm()

    assert "ollama run orders" in repr(done)
    assert set(daemon.created[0]["adapters"]) == files - {"Modelfile"}
    assert [what for what, _ in lines(studio)] == ["intended", "published"]


def test_ollama_is_told_no_nonsense(hub: Hub, daemon: Daemon, tmp_path: Path, tiny_model: Path) -> None:
    """A base without a name, an option that is none."""
    write_made_run(tmp_path, model=str(tiny_model))
    studio = Studio(home=tmp_path)
    with pytest.raises(StudioError, match="by its own name"):
        studio.push(RUN_ID, to="ollama", repo="orders")
    with pytest.raises(StudioError, match="takes no 'form_model'") as caught:
        studio.push(RUN_ID, to="ollama", repo="orders", form_model="x")
    assert "from_model" in caught.value.hint
    with pytest.raises(StudioError, match="takes no 'from_model'"):
        studio.push(RUN_ID, to="huggingface", repo="me/x", from_model="x")


def test_copies_go_when_it_has_arrived(studio: Studio, hub: Hub) -> None:
    """Of a push done at once and of one that waited; and one whose process died before it could say so is not refused for want of them."""
    copies = studio.home / "publications"
    studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)
    assert list(copies.iterdir()) == []

    studio.offline = "on a train"
    studio.push(RUN_ID, to="huggingface", repo="me/y", confirm=True)
    assert len(list(copies.iterdir())) == 1
    entry, sender = studio.outbox[0], studio._find_sender("huggingface:me/y")
    studio._dispatcher.close()  # the test is the one that sends
    studio.offline = False
    assert sender is not None
    address = sender.send(entry)
    assert list(copies.iterdir()) == []
    asked = len(hub.asked)
    assert sender.send(entry) == address
    assert (len(hub.asked), len(hub.commits)) == (asked, 2)


def test_a_platform_in_trouble_is_no_missing_network(studio: Studio, hub: Hub) -> None:
    """It answered, so whoever is here is told; nothing is queued behind their back."""
    hub.down = True
    with pytest.raises(Unavailable) as caught:
        studio.push(RUN_ID, to="huggingface", repo="me/x", confirm=True)

    assert caught.value.status == 503
    assert [what for what, _ in lines(studio)] == ["intended", "failed"]
    assert len(studio.outbox) == 0
