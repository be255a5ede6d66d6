"""The Civitai connector against a site on loopback with its pitfalls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from peft_studio.connectors.base import door as door_module
from peft_studio.connectors.civitai.connector import Civitai
from peft_studio.core.errors import Forbidden, NotAuthorised, NotFound
from peft_studio.core.ports import Page, Query
from peft_studio.core.redact import Secret
from tests.emulators.civitai import Site, make_model, serve_civitai
from tests.emulators.loopback import Reply

KEY = "0123456789abcdef" * 2
ME = {
    "id": 7,
    "username": "ann",
    "tier": "founder",
    "status": "active",
    "isMember": True,
    "subscriptions": [],
    "tokenScope": 0,
}
SOME = Query(text="style", task="text-to-image")


@pytest.fixture
def site() -> Site:
    early = make_model(5, "early style", allowCommercialUse=["None"], allowDerivatives=False)
    early["modelVersions"][0]["availability"] = "EarlyAccess"
    odd = {
        "id": 6,
        "name": "odd style",
        "type": "LORA",
        "stats": {"downloadCount": 0},
        "modelVersions": None,
        "creator": None,
    }
    return Site(
        models=[make_model(1, "ink style", downloads=50), make_model(2, "oil style", downloads=90), early, odd, make_model(9, "tiny talker", type="LLM")],
        accounts={KEY: ME},
    )  # fmt: skip


@pytest.fixture
def address(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serve_civitai(site) as address:
        monkeypatch.setenv("CIVITAI_URL", address)
        yield address
    assert site.unknown == []


def with_key() -> Civitai:
    return Civitai({"token": Secret(KEY)})


def test_connect_says_whose_key_it_is(address: str) -> None:
    """With a key, without, and with a wrong one; nobody can upload."""
    assert (with_key().connect().name, with_key().connect().can_write) == ("ann", False)
    assert Civitai({}).connect().kind == "anonymous"
    with pytest.raises(NotAuthorised, match="Unauthorized") as caught:
        Civitai({"token": Secret("f" * 32)}).connect()
    assert "civitai.com/user/account" in caught.value.hint


def test_search_reads_every_fact_and_guesses_none(address: str) -> None:
    """By the types that a task means; odd entries lose their odd fields only."""
    oil, _, early, odd = with_key().search(SOME).models

    assert (oil.id, oil.title, oil.author, oil.size_bytes, oil.downloads, oil.downloads_over) == (
        "2",
        "oil style",
        "ann",
        1_049_088,
        90,
        "all time",
    )
    assert (oil.gated, oil.format, oil.quantisation, oil.base_models, oil.task) == (
        False,
        "safetensor",
        "fp16",
        ("SD 1.5",),
        "text-to-image",
    )
    assert oil.updated_at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert oil.licence == "own terms; commercial use: image, rent"
    assert (early.gated, early.licence) == (True, "own terms; no commercial use; no derivatives")
    assert (odd.size_bytes, odd.author, odd.licence, odd.gated, odd.parameters) == (None, None, None, None, None)
    assert [model.title for model in with_key().search(Query(text="tiny")).models] == ["tiny talker"]
    assert with_key().search(Query(task="audio-classification")).models == ()


def test_pages_follow_each_other(address: str) -> None:
    """By cursor, each model once."""
    seen, page = [], Page(models=(), next_cursor=None)
    while not seen or page.next_cursor:
        page = Civitai({}).search(SOME.model_copy(update={"limit": 3, "cursor": page.next_cursor}))
        seen += [model.id for model in page.models]
    assert seen == ["2", "1", "5", "6"]


def test_details_have_the_newest_versions_files(address: str) -> None:
    """With digests; a missing model is NotFound, and a name is no path."""
    found = Civitai({}).get_model("2")
    assert (found.revision, found.card) == ("200", "<p>oil style</p>")
    assert found.files[0].sha256 == f"{2:064x}"
    for name in ("77", "../me", "2?x=1"):
        with pytest.raises(NotFound):
            with_key().get_model(name)


def test_an_overloaded_search_is_waited_for(site: Site, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Retry-After of two seconds is kept."""
    waits: list[float] = []
    monkeypatch.setattr(door_module, "pause", waits.append)
    site.instead["GET /api/v1/models"] = [Reply(503, {"error": "Search is overloaded"}, {"Retry-After": "2"})]

    assert with_key().search(SOME).models
    assert waits[0] >= 2


def test_a_firewall_is_told_from_a_refusal(site: Site, address: str) -> None:
    """HTML with 403 is not about the key."""
    site.firewall = True
    with pytest.raises(Forbidden, match="firewall") as caught:
        with_key().search(SOME)
    assert "network" in caught.value.hint


def test_the_key_stays_behind_when_a_download_is_sent_on(site: Site, address: str) -> None:
    """The presigned host answers 400 to an Authorization header, so it must not come; the site itself gets it."""
    answer = with_key()._api._door.get("/api/download/models/200")

    assert answer.content == b"weights"
    (_, at_site), (_, at_store) = site.asked
    assert at_site == f"Bearer {KEY}"
    assert at_store == ""
