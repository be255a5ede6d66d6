"""How long machines took to start: kept by launches, told by quotes with its range."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from peft_studio.core.services import start_history as module
from peft_studio.core.services.start_history import ASSUMED, estimate_start, record_start, start_history


def test_what_was_seen_is_told_and_nothing_is_made_up(tmp_path: Path) -> None:
    """Nothing seen is an assumption, and says so; three starts are a median with their range; another provider is another."""
    assert estimate_start(start_history(tmp_path), "runpod", "NVIDIA L4") == ASSUMED
    for seconds in (50, 40, 300):
        record_start(tmp_path, "runpod", "NVIDIA L4", seconds=seconds, install_s=60)
    found = estimate_start(start_history(tmp_path), "runpod", "NVIDIA L4")
    assert (found.value, found.low, found.high, found.basis) == (50, 40, 300, "3 starts of this card at this provider")
    assert "any card" in estimate_start(start_history(tmp_path), "runpod", "NVIDIA B200").basis
    assert estimate_start(start_history(tmp_path), "vastai", "NVIDIA L4") == ASSUMED
    assert "runpod" in repr(start_history(tmp_path))


def test_one_start_is_no_range(tmp_path: Path) -> None:
    """Its time is the value; the range stays as wide as before."""
    record_start(tmp_path, "runpod", "NVIDIA L4", seconds=20)
    found = estimate_start(start_history(tmp_path), "runpod", "NVIDIA L4")
    assert (found.value, found.low, found.high) == (20, 20, ASSUMED.high)


def test_writers_do_not_lose_each_others_lines_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight at once; the table keeps the newest; a damaged one is an empty one."""
    threads = [
        threading.Thread(target=record_start, args=(tmp_path, "p", "g"), kwargs={"seconds": n}) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.seconds for one in start_history(tmp_path)) == list(range(8))
    monkeypatch.setattr(module, "MOST", 5)
    record_start(tmp_path, "p", "g", seconds=99)
    assert start_history(tmp_path)[0].seconds == 99
    assert len(start_history(tmp_path)) == 5
    (tmp_path / module.FILE).write_text("[{")
    assert len(start_history(tmp_path)) == 0
