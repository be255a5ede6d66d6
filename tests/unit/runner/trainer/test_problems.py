"""From what is raised to what a person is told: real exceptions of the libraries, each with its code."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from peft_studio.core.errors import DataError, ModelError, SpecError, StudioError
from peft_studio.core.models import ModelFailure
from peft_studio.core.runs.failures import HINTS
from peft_studio.runner.trainer.problems import TrainingStopped, explain_failure
from tests.unit.core.runs.conftest import build_spec


def raised(action: Callable[[], object]) -> BaseException:
    """What an action raises."""
    try:
        action()
    except BaseException as error:  # noqa: BLE001  it is what the test is about
        return error
    raise AssertionError("nothing was raised")


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 32 KiB with no room left in it."""
    folder = tmp_path_factory.mktemp("full")
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root on Linux to mount a small disk")
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_no_memory() -> None:
    """torch's own words on a CPU, Python's, and CUDA's."""
    for error in (
        raised(lambda: torch.empty(2**46)),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried …"),
    ):
        failure = explain_failure(error, build_spec(batch_size=4), step=3)
        assert failure.code == "out_of_memory", error
        assert failure.step == 3
        assert failure.suggestions[0].changes == {"batch_size": 2, "gradient_accumulation_steps": 8}


def test_no_disk(full_disk: Path) -> None:
    """torch.save, safetensors and plain files, each on a disk that really is full."""
    tensors = {"a": torch.zeros(20_000)}
    actions: list[Callable[[], object]] = [
        lambda: torch.save(tensors, full_disk / "a.pt"),
        lambda: save_file(tensors, full_disk / "a.safetensors"),
        lambda: (full_disk / "a.txt").write_bytes(bytes(100_000)),
        lambda: torch.save(tensors, str(full_disk / "b.pt"), _use_new_zipfile_serialization=False),
    ]
    for action in actions:
        error = raised(action)
        assert explain_failure(error, build_spec(), step=None).code == "disk_full", (type(error), error)
    assert explain_failure(OSError(errno.EDQUOT, "Disk quota exceeded"), build_spec(), step=None).code == "disk_full"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TrainingStopped("loss_not_finite", "The loss became nan at step 3."), "loss_not_finite"),
        (TrainingStopped("loss_exploded", "It rose."), "loss_exploded"),
        (ModelFailure("m", code="gated"), "model_gated"),
        (ModelFailure("m", code="untrusted"), "model_untrusted"),
        (ModelFailure("m", code="unsupported"), "not_supported_here"),
        (ModelFailure("m", code="not-found"), "model_missing"),
        (ModelFailure("m", code="offline"), "model_missing"),
        (ModelFailure("m", code="incomplete"), "model_missing"),
        (ModelFailure("m", code="no-memory"), "out_of_memory"),
        (ModelFailure("m", code="disk-full"), "disk_full"),
        (ModelError("m"), "model_missing"),
        (DataError("m"), "data_changed"),
        (SpecError("m"), "unexpected"),
        (StudioError("m"), "unexpected"),
        (RuntimeError("size mismatch"), "unexpected"),
        (KeyError("x"), "unexpected"),
        (ValueError(""), "unexpected"),
    ],
)
def test_codes(error: BaseException, code: str) -> None:
    """Each kind of exception has its word; none is left without message, hint and trace."""
    failure = explain_failure(error, build_spec(), step=None)
    assert failure.code == code
    assert failure.message
    assert failure.hint
    assert type(error).__name__ in failure.trace


def test_an_errors_own_hint_wins() -> None:
    """Who raised it knows better than a table."""
    failure = explain_failure(DataError("m", hint="look at line 3"), None, step=None)
    assert failure.hint == "look at line 3"
    assert failure.suggestions == ()


def test_the_trace_shows_where(tmp_path: Path) -> None:
    """The frames of the code at fault are in it, and the cause of the cause."""

    def outer() -> None:
        try:
            (tmp_path / "nothing").read_text()
        except OSError as exc:
            raise RuntimeError("cannot go on") from exc

    failure = explain_failure(raised(outer), build_spec(), step=2)
    assert "in outer" in failure.trace
    assert "FileNotFoundError" in failure.trace
    assert failure.message == "RuntimeError: cannot go on"


def test_every_code_has_a_hint() -> None:
    """And no code leads nowhere."""
    for code in (
        "out_of_memory",
        "loss_not_finite",
        "disk_full",
        "trainer_killed",
        "bad_template",
        "no_trainable_tokens",
    ):
        assert code in HINTS
