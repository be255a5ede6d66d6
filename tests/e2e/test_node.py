"""A rented machine from its first second to its last, with real training: stream, fetch, the machine lost, another one goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.connectors.base.agent_client import AgentClient, Chunk
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import find_newest
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from tests.conftest import wait_for
from tests.rented import Provider, Rented, provide, rent

pytestmark = pytest.mark.stress  # tests/e2e/test_rented.py goes the same way through the providers


@pytest.fixture
def provider() -> Iterator[Provider]:
    """It ends its machine when the test is over."""
    with provide() as made:
        yield made


def follow(rented: Rented, until: str) -> list[ev.Event]:
    """Events over the door, up to the first of a type."""
    seen = []
    for message in AgentClient(rented.client.find_agent).stream():
        if not isinstance(message, Chunk):
            seen.append(message)
            if message.type == until:
                break
    return seen


def bring_home(rented: Rented, top: str) -> None:
    """What stands under a name there, with the log and the numbers, into the run's folder here."""
    names = [name for name in rented.client.list_files() if name.startswith(f"{top}/")]
    rented.client.fetch(*names, "events.jsonl", "metrics", to=rented.folder.path)


def test_a_run_on_two_machines(
    studio: Studio, make_spec: Callable[..., Any], provider: Provider, tmp_path: Path, tiny_model: Path, tiny_rows: Path
) -> None:
    """It trains there on what was sent; its machine vanishes; another goes on from the checkpoint that is home; the result loads here."""
    rows = Path(shutil.copy(tiny_rows, tmp_path / "rows.jsonl"))
    spec = make_spec(data=str(rows), max_steps=8, save_steps=2, keep_checkpoints=8)
    folder: RunFolder = studio._store().create(spec)

    first = rent(tmp_path / "first", provider, folder)
    first.until_it_answers()
    first.furnish(tiny_model, tmp_path)
    rows.rename(tmp_path / "away.jsonl")  # it must train on its own copy
    wait_for(lambda: first.client.status().agent, "the agent", timeout_s=60)
    assert follow(first, "checkpoint")[-1].type == "checkpoint"
    bring_home(first, "checkpoints")
    first.machine.end()
    step = find_newest(folder.checkpoints)
    assert step
    before = len(read_events(folder.events))

    (tmp_path / "away.jsonl").rename(rows)
    second = rent(tmp_path / "second", provider, folder)
    second.until_it_answers()
    second.furnish(tiny_model, tmp_path, from_step=step)
    wait_for(lambda: second.client.status().agent, "the agent", timeout_s=60)
    seen = follow(second, "finished")
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert [event.from_step for event in seen if isinstance(event, ev.JobStarted)] == [0, step]
    assert len(seen) > before
    bring_home(second, "adapter")
    second.machine.end()

    run = studio.run(folder.id)
    assert run.state == "completed"
    assert run.metrics()["step"].max() == 8
    assert (run.adapter.path / "adapter_model.safetensors").is_file()
    with studio.chat(str(tiny_model), adapters={"a": run.adapter}) as chat:
        assert chat.ask("Please send 3 lamps to Oslo.", adapter="a", max_new_tokens=4).tokens
