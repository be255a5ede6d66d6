"""A closed model is brought by one process, whose token came by its input; what went wrong has our words."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from peft_studio.core.runs.folder import RunFolder
from peft_studio.runner.agent.model_errand import ModelErrand, read_door_gifts
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.unit.core.runs.conftest import build_spec

pytest.importorskip("huggingface_hub")
TOKEN = "hf_" + "A" * 34


def bring(home: Path, given: dict[str, str]) -> tuple[ModelErrand, list[str]]:
    """What came of it, with a cache of its own, and what was said."""
    given["HF_HOME"] = str(home / "hub client")
    folder, said = RunFolder(home / "runs" / "r-1"), list[str]()
    errand = ModelErrand(folder, build_spec(model="org/tiny"), given)

    async def run() -> None:
        await errand.start()
        await errand.run(say=said.append)

    asyncio.run(run())
    return errand, said


@pytest.mark.slow
def test_a_gated_model_comes_with_the_token_alone(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands where the trainer looks; a token that is not let in is told so, and shown nowhere."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    files = {path.name: path.read_bytes() for path in tiny_model.iterdir() if path.is_file()}
    hub = Hub(repos=[Repo("org/tiny", files, gated=True, readers=frozenset({TOKEN}))])
    with serve_hub(hub) as address:
        errand, said = bring(tmp_path / "a", {"HF_TOKEN": TOKEN, "HF_ENDPOINT": address})
        assert errand.error is None
        assert said[0] == "Asking the hub for org/tiny"
        pointer = json.loads((tmp_path / "a" / "models" / "hub" / "org--tiny.json").read_text())
        assert (Path(pointer["folder"]) / "config.json").exists()
        errand, said = bring(tmp_path / "b", {"HF_TOKEN": "hf_" + "B" * 34, "HF_ENDPOINT": address})
    assert errand.error
    assert errand.error[0] == "model_gated"
    assert "B" * 34 not in f"{errand.error}{said}"


def test_nothing_given_is_nothing() -> None:
    """Of a machine whose owner gave no secret."""
    assert read_door_gifts("") == {}
    assert read_door_gifts('{"HF_TOKEN": "x"}') == {"HF_TOKEN": "x"}
