"""A closed model is brought by one process, whose token came by its input; what went wrong has our words."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from peft_studio.core.runs.folder import RunFolder
from peft_studio.runner.agent.model_errand import ModelErrand, read_door_gifts
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.unit.core.runs.conftest import build_spec

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
    pytest.importorskip("huggingface_hub")
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
    assert read_door_gifts('{"HF_TOKEN": "x') == {}


def errand_that_prints(home: Path, code: str) -> tuple[ModelErrand, list[str]]:
    """What becomes of one whose process is this program."""
    errand, said = (
        ModelErrand(RunFolder(home / "runs" / "r-1"), build_spec(model="org/tiny"), {"HF_TOKEN": TOKEN}),
        list[str](),
    )
    errand._command = [sys.executable, "-c", code]

    async def run() -> None:
        await errand.start()
        await errand.run(say=said.append)

    asyncio.run(run())
    return errand, said


def test_what_else_is_printed_between_its_lines_is_nothing(tmp_path: Path) -> None:
    """Not even what is longer than asyncio reads of one line, is no object, or nests without end."""
    junk = "print('x' * 2**18, '[' * 10**5, '7', 'null', '{torn', chr(0xFFFD), sep=chr(10));"
    code = f"""{junk}print('{{"step": "Downloading"}}');{junk}print('{{"folder": "f"}}')"""
    errand, said = errand_that_prints(tmp_path, code)
    assert (errand.error, said) == (None, ["Downloading"])


@pytest.mark.parametrize(
    ("code", "status"), [("print('x' * 2**18)", 0), ("import os; print('{\"step\": 1}', flush=True); os._exit(7)", 7)]
)
def test_one_that_says_nothing_of_its_end_has_failed(tmp_path: Path, code: str, status: int) -> None:
    """With what to do next."""
    error = errand_that_prints(tmp_path, code)[0].error
    assert error
    assert (error[0], f"status {status}" in error[1], bool(error[2])) == ("model_missing", True, True)


def test_a_line_longer_than_asyncio_reads_is_read(tmp_path: Path) -> None:
    """A reason may have a whole answer in it; and no memory is another thing than no model."""
    code = """import json; print(json.dumps({"error": {"code": "no-memory", "message": "m" * 2**18, "hint": "h"}}))"""
    error = errand_that_prints(tmp_path, code)[0].error
    assert error
    assert (error[0], len(error[1]), error[2]) == ("out_of_memory", 2**18, "h")
