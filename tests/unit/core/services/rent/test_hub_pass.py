"""Whether a rented machine would get a base model, known before money is spent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio.core.errors import NotReadyError
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.services.rent.hub_pass import (
    check_access,
    comes_from_hub,
    find_endpoint_of,
    is_closed,
    mark_closed,
)
from peft_studio.core.vault.offered import HUB_TOKENS
from tests.emulators.hub import Hub, Repo, serve_hub

LET_IN, OTHER = "hf_" + "A" * 34, "hf_" + "B" * 34
FILES = {"config.json": json.dumps({"model_type": "llama"}).encode()}


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    for name in HUB_TOKENS:
        monkeypatch.delenv(name, raising=False)
    allowed = {"readers": frozenset({LET_IN})}
    repos = [Repo("org/open", FILES), Repo("org/gated", FILES, gated=True, **allowed), Repo("org/own", FILES, private=True, **allowed)]  # fmt: skip
    account = {"name": "ann", "type": "user", "auth": {"accessToken": {"role": "read"}}}
    with serve_hub(Hub(repos=repos, accounts={LET_IN: account, OTHER: account})) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield Studio(home=tmp_path / "home")


def check(studio: Studio, model: str) -> bool:
    return studio._machines.check_model(model)


def test_what_is_open_needs_no_token(studio: Studio) -> None:
    """With one, too, it is not to be sent; and what does not come from the hub is not asked for."""
    assert not check(studio, "org/open")
    studio.connect("huggingface", token=LET_IN, keep=False)
    assert not check(studio, "org/open")
    assert not any(map(comes_from_hub, ("smollm2-135m", str(studio.home), "./org/open", "gpt2")))


def test_several_machines_do_not_share_a_token(studio: Studio) -> None:
    """The others would fail once they are paid for."""
    studio.connect("huggingface", token=LET_IN, keep=False)
    assert studio._machines.check_model("org/gated")
    assert not studio._machines.check_model("org/open", machines=2)
    with pytest.raises(NotReadyError, match="only the first gets your token"):
        studio._machines.check_model("org/gated", machines=2)


@pytest.mark.parametrize(("model", "why"), [("org/gated", "is gated: a rented machine"), ("org/own", "would not get org/own")])  # fmt: skip
def test_without_a_token_it_is_refused(studio: Studio, model: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with one of the environment alone, which is not ours to send."""
    monkeypatch.setenv("HF_TOKEN", LET_IN)
    with pytest.raises(NotReadyError, match=why) as caught:
        check(studio, model)
    assert caught.value.hint
    assert caught.value.fields == ("model",)


def test_a_token_that_opens_it_is_needed(studio: Studio) -> None:
    """Gated or private."""
    studio.connect("huggingface", token=LET_IN, keep=False)
    assert check(studio, "org/gated")
    assert check(studio, "org/own")


def test_an_account_that_was_not_let_in_is_told(studio: Studio) -> None:
    """Before anything is rented."""
    studio.connect("huggingface", token=OTHER, keep=False)
    with pytest.raises(NotReadyError, match="has not been let in"):
        check(studio, "org/gated")
    with pytest.raises(NotReadyError, match="would not get org/own"):
        check(studio, "org/own")


def test_a_hub_that_cannot_be_asked_stops_nobody(studio: Studio) -> None:
    """Nobody can say, and no token goes anywhere."""
    studio.offline = "on a train"
    assert not check_access(studio._catalog, "org/gated", has_token=True)


def test_a_run_is_marked(tmp_path: Path) -> None:
    """For whoever follows it."""
    folder = RunFolder(tmp_path)
    assert not is_closed(folder)
    mark_closed(folder)
    assert is_closed(folder)


@pytest.mark.parametrize("hub", ["https://hub.example", None])
def test_a_token_stays_with_the_hub_that_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: str | None
) -> None:
    """Whoever follows the run later may have another one in its environment, or none."""
    (folder := RunFolder(tmp_path / "r-20261126-101112-00000a")).path.mkdir()
    monkeypatch.setenv("HF_ENDPOINT", hub or "")
    mark_closed(folder)
    monkeypatch.setenv("HF_ENDPOINT", "https://elsewhere.example")
    assert is_closed(folder)
    assert find_endpoint_of(folder) == hub
