"""Several training processes of one job: how they are started, and what is said when one goes. Processes are real; torch is not needed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.runs.folder import RunFolder
from peft_studio.runner.agent import ranks as module
from peft_studio.runner.agent.ranks import Ending, Ranks, build_environments

FAILED = '{"type": "finished", "state": "failed", "failure": {"code": "%s", "message": "%s"}}'


def test_torchs_own_environment() -> None:
    """Each has its number, all have the same meeting place; one alone has nothing."""
    first, second = build_environments(2)

    assert build_environments(1) == [{}]
    assert (first["RANK"], second["RANK"], first["LOCAL_RANK"], second["LOCAL_RANK"]) == ("0", "1", "0", "1")
    assert (
        {one["WORLD_SIZE"] for one in (first, second)} == {one["LOCAL_WORLD_SIZE"] for one in (first, second)} == {"2"}
    )
    assert (first["MASTER_ADDR"], first["MASTER_PORT"]) == (second["MASTER_ADDR"], second["MASTER_PORT"])


def test_those_of_other_machines_are_told_to_whoever_starts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines with two each: ours are the first two, the others meet them at our address, with devices of their own."""
    monkeypatch.setenv(module.MACHINES, "2")
    monkeypatch.setenv(module.ADDRESS, "127.0.0.1")
    ranks = Ranks(RunFolder(tmp_path), from_step=4, processes=4, strategy="ddp")
    for one in ranks._all:
        one._command = [sys.executable, "-c", ""]

    async def start() -> None:
        with (tmp_path / "device").open("w") as device:
            await ranks.start(keep_open=device.fileno())
            await ranks.run(on_event=lambda event: None, on_line=lambda line: None)

    asyncio.run(start())
    assert [one["RANK"] for one in ranks._ours] == ["0", "1"]
    others = json.loads((tmp_path / "others.json").read_text())
    assert others["arguments"] == ["--from-step", "4", "--strategy", "ddp"]
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    assert [[one[name] for name in names] for one in others["environments"]] == [
        ["2", "0", "4", "2", "1"],
        ["3", "1", "4", "2", "1"],
    ]
    assert {one["MASTER_PORT"] for one in others["environments"]} == {ranks._ours[0]["MASTER_PORT"]}


async def play(folder: Path, parts: list[str]) -> tuple[Ending, list[dict[str, Any]], list[str]]:
    """Ranks that do what their part says, in Python."""
    ranks = Ranks(RunFolder(folder), from_step=0, processes=len(parts), strategy="ddp")
    for one, part in zip(ranks._all, parts, strict=True):
        one._command = [sys.executable, "-c", f"import os, signal, sys, time\n{part}"]
    events: list[dict[str, Any]] = []
    lines: list[str] = []
    with (folder / "device").open("w") as device:
        await ranks.start(keep_open=device.fileno())
        ending = await ranks.run(on_event=events.append, on_line=lines.append)
    return ending, events, lines


FOREVER = "time.sleep(600)"


@pytest.mark.parametrize(
    ("parts", "status", "culprit", "code"),
    [
        (["print('{}')", ""], 0, None, None),
        ([FOREVER, "os.kill(os.getpid(), signal.SIGKILL)"], -9, 1, None),
        ([FOREVER, "sys.exit(3)", FOREVER], 3, 1, None),
        ([f"print('{FAILED % ('rank_lost', 'gone')}')", f"print('{FAILED % ('out_of_memory', 'full')}'); sys.exit(1)"], 1, 1, "out_of_memory"),
        # the second has only lost the third, which says why
        ([FOREVER, f"print('{FAILED % ('rank_lost', 'gone')}'); sys.exit(1)", f"print('{FAILED % ('disk_full', 'no room')}'); sys.exit(1)"], 1, 2, "disk_full"),
    ],
    ids=["well", "killed", "exits", "says why", "two say why"],
)  # fmt: skip
def test_who_went_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    parts: list[str],
    status: int,
    culprit: int | None,
    code: str | None,
) -> None:
    """Nobody is waited for in vain, and the one at fault is named with what it said."""
    monkeypatch.setattr(module, "GRACE_S", 0.3)

    ending, _, _ = asyncio.run(asyncio.wait_for(play(tmp_path, parts), 60))

    assert (ending.status, ending.culprit, ending.failure and ending.failure.code) == (status, culprit, code)
    assert ending.processes == len(parts)


def test_rank_0_has_the_word(tmp_path: Path) -> None:
    """Events are its own; log lines of the others carry their number."""
    say = 'print(\'{"type": "log", "level": "info", "text": "x"}\'); print(\'words\', file=sys.stderr)'

    _, events, lines = asyncio.run(asyncio.wait_for(play(tmp_path, [say, say]), 60))

    assert len(events) == 1
    assert sorted(lines) == ["[1] words", "words"]
