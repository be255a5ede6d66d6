"""A dry run's answer: one estimate, once counted and then remembered until something it depends on changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.errors import ModelError
from peft_studio.core.services import dry_run as module
from peft_studio.core.services.dry_run import dry_run_memory

pytest.importorskip("torch")


def test_an_answer_comes_from_the_runner_and_then_from_the_home(
    make_spec: Callable[..., Any], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts are the whole and the basis names the place; asked again, no process is started, unless what decides memory changed."""
    spec = make_spec()
    found = dry_run_memory(spec, tiny_model, home=tmp_path, timeout_s=300)
    assert found.unit == "bytes"
    assert found.low < found.value < found.high
    assert sum(found.parts.values()) == found.value
    assert {"weights", "adapters", "optimizer", "activations"} <= set(found.parts)
    assert list(found.parts.values()) == sorted(found.parts.values(), reverse=True)
    assert "aten." in found.basis

    monkeypatch.setattr(module.sys, "executable", os.devnull)  # whoever starts a process now fails
    assert (
        dry_run_memory(spec.replace(learning_rate=1e-3, name="another"), tiny_model, home=tmp_path, timeout_s=300)
        == found
    )
    with pytest.raises(OSError, match="null"):
        dry_run_memory(spec.replace(rank=8), tiny_model, home=tmp_path, timeout_s=300)


def test_a_folder_without_a_model_is_named(make_spec: Callable[..., Any], tmp_path: Path) -> None:
    """No config.json: said before anything is started."""
    with pytest.raises(ModelError, match=r"config\.json"):
        dry_run_memory(make_spec(), tmp_path / "nothing", home=tmp_path, timeout_s=300)


def test_an_architecture_that_cannot_be_gone_through_says_so(make_spec: Callable[..., Any], tmp_path: Path) -> None:
    """The runner's last word is in the message, and the hint says what to go by instead."""
    (tmp_path / "config.json").write_text('{"model_type": "no-such-thing"}')
    with pytest.raises(ModelError, match=r"no-such-thing|cannot be counted") as caught:
        dry_run_memory(make_spec(), tmp_path, home=tmp_path / "home", timeout_s=300)
    assert "probe" in caught.value.hint
