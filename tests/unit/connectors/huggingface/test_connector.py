"""The Hugging Face connector against a hub on loopback, which the hub's own client accepts too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from peft_studio.connectors.huggingface.connector import HuggingFace
from peft_studio.core.errors import Forbidden, NotAuthorised, NotFound, RateLimited, Unavailable
from peft_studio.core.ports import Page, Query
from peft_studio.core.redact import Secret
from tests.emulators.hub import Hub, Repo, serve_hub

TOKEN = "hf_" + "a" * 34
CONFIG = {
    "model_type": "llama",
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "vocab_size": 49152,
}
SMOL = Repo(
    "org/smollm2-135m",
    {"config.json": json.dumps(CONFIG).encode(), "README.md": b"---\nlicense: apache-2.0\n---\n# Smol", "model.safetensors": b"w" * 1000, "onnx/model.safetensors": b"x"},
    facts={
        "downloads": 5000, "likes": 12, "pipeline_tag": "text-generation", "lastModified": "2026-03-04T05:06:07.000Z",
        "cardData": {"license": "apache-2.0"}, "tags": ["license:apache-2.0"], "gated": False,
        "safetensors": {"parameters": {"BF16": 134515008}, "total": 134515008}, "config": {"model_type": "llama"},
    },
)  # fmt: skip
PACKED = Repo(
    "org/smollm2-bnb",
    {},
    facts={
        "downloads": 900, "pipeline_tag": "text-generation", "cardData": {"license": "other", "license_name": "My-Licence", "base_model": "org/smollm2-135m"},
        "safetensors": {"parameters": {"U8": 100, "BF16": 10}, "total": 110},
        "config": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    },
)  # fmt: skip
GATED = Repo(
    "meta/smollm2-gated", {"config.json": b"{}", "README.md": b"# secret"}, gated=True,
    facts={"downloads": 10, "pipeline_tag": "text-generation", "gated": "manual", "gguf": {"total": 7, "architecture": "llama"}},
)  # fmt: skip
PRIVATE = Repo(
    "me/smollm2-private",
    {},
    private=True,
    readers=frozenset({TOKEN}),
    facts={"downloads": 1, "pipeline_tag": "text-generation"},
)
PICTURES = Repo("org/smollm2-pictures", {}, facts={"downloads": 10**6, "pipeline_tag": "text-to-image"})
ODD = Repo(
    "org/smollm2-odd",
    {},
    facts={
        "downloads": -3,
        "pipeline_tag": "text-generation",
        "cardData": [3],
        "safetensors": None,
        "lastModified": "soon",
    },
)


def account(role: str | None = "write", **token: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "name": "me",
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": "t", "role": role, **token}},
    }


@pytest.fixture
def hub() -> Hub:
    return Hub(repos=[SMOL, PACKED, GATED, PRIVATE, PICTURES, ODD], accounts={TOKEN: account()})


@pytest.fixture
def endpoint(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serve_hub(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield address
    assert hub.unknown == []


def with_token() -> HuggingFace:
    return HuggingFace({"token": Secret(TOKEN)})


def test_the_official_client_works_against_the_emulator(hub: Hub, endpoint: str) -> None:
    """whoami, a search over several pages with expanded fields, and a model's files: by huggingface_hub itself."""
    code = (
        "import json; from huggingface_hub import HfApi; api = HfApi(); me = api.whoami()\n"
        "found = list(api.list_models(search='smollm2', sort='downloads', pipeline_tag='text-generation', expand=['downloads','gated','safetensors','lastModified']))\n"
        "files = api.model_info('org/smollm2-135m', files_metadata=True).siblings\n"
        "try: HfApi(token='hf_wrong').whoami()\n"
        "except Exception as e: wrong = e.response.status_code\n"
        "print(json.dumps([me['name'], [(m.id, m.gated, m.safetensors and m.safetensors.total) for m in found], sorted((f.rfilename, f.size) for f in files), wrong]))"
    )
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    hub.repos.remove(ODD)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout

    name, found, files, wrong = json.loads(said.splitlines()[-1])
    assert (name, wrong) == ("me", 401)
    assert found == [
        ["org/smollm2-135m", False, 134515008],
        ["org/smollm2-bnb", False, 110],
        ["meta/smollm2-gated", "manual", None],
        ["me/smollm2-private", False, None],
    ]
    assert ["model.safetensors", 1000] in files


def test_connect_says_who_and_whether_it_may_write(hub: Hub, endpoint: str) -> None:
    """Each role of a token, and none at all."""
    scoped = {
        "scoped": [{"entity": {"type": "user"}, "permissions": ["repo.content.read", "repo.write"]}],
        "global": [],
    }
    for role, token, can_write in (
        ("write", {}, True),
        ("read", {}, False),
        (None, {}, None),
        ("fineGrained", {"fineGrained": scoped}, True),
        ("fineGrained", {"fineGrained": {"scoped": [], "global": ["discussion.write"]}}, False),
    ):
        hub.accounts[TOKEN] = account(role, **token)
        found = with_token().connect()
        assert (found.name, found.can_write) == ("me", can_write)
        assert found.note

    nobody = HuggingFace({}).connect()
    assert (nobody.kind, nobody.can_write) == ("anonymous", False)


def test_whoami_is_rationed(hub: Hub, endpoint: str) -> None:
    """Asked once in ten minutes, and where the hub refuses the error says when it will answer."""
    hub.whoami_left = 1
    hub_face = with_token()
    assert hub_face.connect() == hub_face.connect()

    with pytest.raises(RateLimited, match="fewer requests") as caught:
        with_token().connect()
    assert caught.value.retry_after_s == 55
    assert hub.asked.count("GET /api/whoami-v2") == 2


def test_a_wrong_token_is_not_authorised(endpoint: str) -> None:
    """For who am I and for a search."""
    wrong = HuggingFace({"token": Secret("hf_" + "b" * 34)})
    with pytest.raises(NotAuthorised, match="does not know this token") as caught:
        wrong.connect()
    assert "settings/tokens" in caught.value.hint
    with pytest.raises(NotAuthorised, match="Invalid credentials"):
        wrong.search(Query(text="smollm2"))


def test_search_reads_every_fact_and_guesses_none(endpoint: str) -> None:
    """Sorted by downloads; what a repository does not say is None."""
    smol, packed, gated, private, odd = sorted(
        with_token().search(Query(text="smollm2")).models, key=lambda m: -(m.downloads or 0)
    )

    assert (smol.id, smol.author, smol.parameters, smol.size_bytes, smol.licence, smol.downloads, smol.downloads_over) == (
        "org/smollm2-135m", "org", 134515008, 269030016, "apache-2.0", 5000, "30 days",
    )  # fmt: skip
    assert (smol.gated, smol.format, smol.quantisation, smol.updated_at) == (
        False,
        "safetensors",
        None,
        datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    )
    assert (packed.parameters, packed.quantisation, packed.licence, packed.base_models) == (
        None,
        "bnb-4bit",
        "my-licence",
        ("org/smollm2-135m",),
    )
    assert (gated.gated, gated.format, gated.parameters, gated.size_bytes) == (True, "gguf", 7, None)
    assert private.id == "me/smollm2-private"
    assert (odd.downloads, odd.licence, odd.parameters, odd.updated_at) == (None, None, None, None)


def test_pages_follow_each_other(hub: Hub, endpoint: str) -> None:
    """By cursor, each model once, and the last page has no next one."""
    hub.repos.remove(ODD)
    seen: list[str] = []
    page: Page | None = None
    while page is None or page.next_cursor:
        page = HuggingFace({}).search(Query(text="smollm2", limit=2, cursor=page.next_cursor if page else None))
        seen += [model.id for model in page.models]

    assert seen == ["org/smollm2-135m", "org/smollm2-bnb", "meta/smollm2-gated"]
    assert [model.id for model in HuggingFace({}).search(Query(text="pictures", task=None)).models] == [
        "org/smollm2-pictures"
    ]


def test_details_have_files_card_and_config(endpoint: str) -> None:
    """Of the weights' copies only the one that would be downloaded counts."""
    found = HuggingFace({}).get_model("org/smollm2-135m")

    assert found.model.size_bytes == 1000
    assert found.config == CONFIG
    assert found.card is not None
    assert found.card.endswith("# Smol")
    weights = next(file for file in found.files if file.path == "model.safetensors")
    assert weights.sha256 is not None
    assert found.revision == SMOL.commit


def test_gated_missing_and_failing_are_told_apart(hub: Hub, endpoint: str) -> None:
    """A gated model shows its facts without its files' contents; a missing one is NotFound with and without a token."""
    gated = with_token().get_model("meta/smollm2-gated")
    assert (gated.card, gated.config, gated.model.gated) == (None, None, True)
    with pytest.raises(Forbidden, match="let in"):
        with_token()._api.get_file("meta/smollm2-gated", "main", "config.json")
    for connector in (with_token(), HuggingFace({})):
        with pytest.raises(NotFound, match="no such model"):
            connector.get_model("org/nothing")
    hub.down = True
    with pytest.raises(Unavailable):
        HuggingFace({}).connect()


def test_a_name_cannot_reach_another_address(hub: Hub, endpoint: str) -> None:
    """What a user types as a model stays inside its own path."""
    for name in ("a/b?x=1#y", "a/../../whoami-v2", "..", "a/b/c", "", "a/.b", "a/b\n"):
        with pytest.raises(NotFound):
            HuggingFace({}).get_model(name)
    assert hub.asked == []
