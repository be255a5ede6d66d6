"""Publishing on the hub, against an emulator that the hub's own client publishes on, too."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.huggingface.connector import HuggingFace
from peft_studio.core.errors import (
    BadResponse,
    ConnectorError,
    Forbidden,
    NotAuthorised,
    NotFound,
    Refused,
    Unavailable,
)
from peft_studio.core.ports import Upload, UploadFile
from peft_studio.core.redact import Secret
from tests.emulators.hub import Hub, Repo, serve_hub

TOKEN = "hf_" + "a" * 34
COMMIT = "POST /api/models/me/x/commit/main"


def account(role: str = "write") -> dict[str, Any]:
    return {"type": "user", "name": "me", "orgs": [], "auth": {"type": "access_token", "accessToken": {"role": role}}}


@pytest.fixture
def hub() -> Hub:
    return Hub(accounts={TOKEN: account()})


@pytest.fixture
def endpoint(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serve_hub(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield address
    assert hub.unknown == []
    assert hub.tokens_at_cdn == []


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    contents = {
        "README.md": b"# x\n",
        "adapter_config.json": b"{}\n",
        "adapter_model.safetensors": bytes(range(256)) * 40,
    }
    return make_upload(tmp_path, contents)


def make_upload(folder: Path, contents: dict[str, bytes], **fields: Any) -> Upload:
    files = []
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        files.append(UploadFile(path=name, source=str(folder / name), size_bytes=len(content), sha256=digest))
    return Upload(**{"id": "push-1", "repo": "me/x", "files": tuple(files), **fields})


def hugging_face() -> HuggingFace:
    return HuggingFace({"token": Secret(TOKEN)})


def quietly(sent: int) -> None:
    """Nobody wants to know."""


def puts(hub: Hub) -> list[str]:
    return [asked for asked in hub.asked if asked.startswith("PUT")]


def test_the_official_client_publishes_on_the_emulator(hub: Hub, endpoint: str, tmp_path: Path, upload: Upload) -> None:
    """Create twice, a folder whose large file goes in parts, and a download of what our own connector published."""
    hub.part_bytes = 4096
    hugging_face().upload_artifact(upload, quietly)
    code = (
        "import json, pathlib, sys; from huggingface_hub import HfApi, hf_hub_download; api = HfApi()\n"
        "for _ in range(2): api.create_repo('me/theirs', private=True, exist_ok=True)\n"
        "done = api.upload_folder(repo_id='me/theirs', folder_path=sys.argv[1], commit_message='theirs')\n"
        "got = pathlib.Path(hf_hub_download('me/x', 'adapter_model.safetensors', cache_dir=sys.argv[2])).read_bytes()\n"
        "print(json.dumps([done.oid, len(got)]))"
    )
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    source = str(Path(upload.files[0].source).parent)
    command = [sys.executable, "-c", code, source, str(tmp_path / "cache")]
    ran = subprocess.run(command, capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr

    ours, theirs = hub.find("models", "me/x"), hub.find("models", "me/theirs")
    assert ours is not None
    assert theirs is not None
    assert json.loads(ran.stdout.splitlines()[-1]) == [theirs.commit, 256 * 40]
    assert theirs.files == ours.files
    assert (theirs.private, ours.private) == (True, True)


@pytest.mark.parametrize("part_bytes", [None, 4096])
def test_files_arrive_whole_in_one_commit(hub: Hub, endpoint: str, upload: Upload, part_bytes: int | None) -> None:
    """In a private repository, the large one whole or in parts; progress ends at the sum of all bytes; the commit carries our label."""
    hub.part_bytes = part_bytes
    seen: list[int] = []

    done = hugging_face().upload_artifact(upload, seen.append)

    repo = hub.find("models", "me/x")
    assert repo is not None
    for file in upload.files:
        assert repo.files[file.path] == Path(file.source).read_bytes()
    assert (repo.private, done.url, done.revision, done.already) == (True, f"{endpoint}/me/x", repo.commit, False)
    assert seen[-1] == sum(file.size_bytes for file in upload.files)
    assert seen == sorted(seen)
    assert [header["description"] for header in hub.commits] == ["PEFT Studio, push-1"]
    assert len(puts(hub)) == (3 if part_bytes else 1)


def test_a_repeat_changes_nothing(hub: Hub, endpoint: str, upload: Upload) -> None:
    """The second call finds everything there: no commit, no byte, and it says so."""
    first, second = (hugging_face().upload_artifact(upload, quietly) for _ in range(2))

    assert (second.already, second.revision) == (True, first.revision)
    assert (len(hub.commits), len(puts(hub))) == (1, 1)


def test_a_reply_lost_after_the_commit_is_looked_up(hub: Hub, endpoint: str, upload: Upload) -> None:
    """It was done: that is found out at once, and nothing is committed twice."""
    hub.lost_replies = [COMMIT]

    done = hugging_face().upload_artifact(upload, quietly)

    assert len(hub.commits) == 1
    assert hub.asked.count(COMMIT) == 1
    repo = hub.find("models", "me/x")
    assert repo is not None
    assert done.revision == repo.commit


@pytest.mark.parametrize("part_bytes", [None, 4096])
@pytest.mark.parametrize(
    "lost",
    ["POST /api/repos/create", "POST /api/models/me/x/preupload/main", "POST /me/x.git/info/lfs/objects/batch", "PUT", "complete", "verify"],
)  # fmt: skip
def test_any_other_lost_reply_costs_nothing_twice(
    hub: Hub, endpoint: str, upload: Upload, lost: str, part_bytes: int | None
) -> None:
    """Each answer lost once; called again where it must be, it ends with one repository and one commit."""
    hub.part_bytes = part_bytes
    weights = upload.files[2].sha256
    if lost == "complete" and not part_bytes:
        pytest.skip("whole files have no such call")
    hub.lost_replies = [
        {
            "PUT": f"PUT /store/{weights}" + ("/2" if part_bytes else ""),
            "complete": f"POST /complete/{weights}",
            "verify": f"POST /verify/{weights}",
        }.get(lost, lost)
    ]
    if lost == "complete":
        with pytest.raises(Unavailable) as caught:
            hugging_face().upload_artifact(upload, quietly)
        assert caught.value.may_have_happened
    hugging_face().upload_artifact(upload, quietly)

    assert hub.lost_replies == []
    assert len(hub.commits) == 1
    assert [repo.id for repo in hub.repos] == ["me/x"]


def test_what_arrived_is_not_sent_again(hub: Hub, endpoint: str, upload: Upload) -> None:
    """An upload that broke off before its commit goes on behind the bytes that are there."""
    hub.stored[upload.files[2].sha256] = Path(upload.files[2].source).read_bytes()

    hugging_face().upload_artifact(upload, quietly)

    assert puts(hub) == []
    assert len(hub.commits) == 1


@pytest.mark.parametrize("is_private", [True, False])
def test_a_place_with_another_visibility_is_refused(hub: Hub, endpoint: str, upload: Upload, is_private: bool) -> None:
    """A plan that says private never ends in a public repository, nor the other way round."""
    hub.repos.append(Repo("me/x", {}, private=is_private, readers=frozenset({TOKEN})))

    with pytest.raises(Refused, match="Nothing was sent"):
        hugging_face().upload_artifact(upload.model_copy(update={"private": not is_private}), quietly)
    assert not [asked for asked in hub.asked if not asked.startswith("GET")]


def test_a_file_that_changed_is_not_sent(hub: Hub, endpoint: str, upload: Upload) -> None:
    """Nor one that is gone: what was confirmed is what goes, or nothing does."""
    Path(upload.files[0].source).write_bytes(b"# y\n")
    with pytest.raises(Refused, match=r"README\.md is not the one"):
        hugging_face().upload_artifact(upload, quietly)
    Path(upload.files[0].source).unlink()
    with pytest.raises(Refused, match=r"README\.md is gone"):
        hugging_face().upload_artifact(upload, quietly)
    assert hub.asked == []


def test_who_may_not_write_is_told(hub: Hub, endpoint: str, upload: Upload) -> None:
    """Without a token, with one that reads, under somebody else's name, and to a name that is none."""
    with pytest.raises(NotAuthorised, match="needs a token"):
        HuggingFace({}).upload_artifact(upload, quietly)
    with pytest.raises(Forbidden):
        hugging_face().upload_artifact(upload.model_copy(update={"repo": "them/x"}), quietly)
    hub.accounts[TOKEN] = account("read")
    with pytest.raises(Forbidden):
        hugging_face().upload_artifact(upload, quietly)
    for name in ("me/../x", "me/x?y", ""):
        with pytest.raises(NotFound):
            hugging_face().upload_artifact(upload.model_copy(update={"repo": name}), quietly)
    assert hub.repos == []


def test_somebody_elses_commit_in_between_is_not_overwritten(
    hub: Hub, endpoint: str, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit names the one it stands on; the hub refuses it when there is another by then."""
    repo = Repo("me/x", {"other.md": b"1"}, private=True, readers=frozenset({TOKEN}))
    hub.repos.append(repo)

    def change(sent: int) -> None:
        repo.files["other.md"] = b"2"

    with pytest.raises(ConnectorError) as caught:
        hugging_face().upload_artifact(upload, change)
    assert caught.value.status == 412
    assert hub.commits == []
    hugging_face().upload_artifact(upload, quietly)
    assert repo.files["other.md"] == b"2"


def test_instructions_that_do_not_fit_are_not_followed(
    hub: Hub, endpoint: str, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part too many, or a size that is no number: nothing is committed."""
    from tests.emulators.hub import publishing

    for header in ({"chunk_size": "4096", "1": "http://localhost/1"}, {"chunk_size": "x"}, {"chunk_size": 0}):
        monkeypatch.setattr(
            publishing,
            "_batch",
            lambda hub, repo, body, port, header=header: publishing.Reply(
                200,
                {
                    "objects": [
                        {
                            "oid": upload.files[2].sha256,
                            "actions": {"upload": {"href": "http://localhost/", "header": header}},
                        }
                    ]
                },
            ),
        )
        with pytest.raises(BadResponse, match="do not fit"):
            hugging_face().upload_artifact(upload, quietly)
    assert hub.commits == []
