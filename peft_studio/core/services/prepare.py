"""Bringing base models and hub data sets onto this machine, in a process of their own: the kernel never loads torch."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peft_studio.core.errors import DataError, MissingExtra, ModelError
from peft_studio.core.models import find_prepared
from peft_studio.core.vault import without_keys

TRAIN_MODULES = ("torch", "transformers", "peft", "accelerate", "safetensors")
Progress = Callable[[str], None]


def missing_train_modules() -> list[str]:
    """Modules of the [train] extra that are not installed; looks, imports nothing."""
    return [name for name in TRAIN_MODULES if importlib.util.find_spec(name) is None]


def require_train_extra() -> None:
    """Raise :class:`MissingExtra` when training is not installed."""
    if missing := missing_train_modules():
        raise MissingExtra(
            f"Training is not installed here: {', '.join(missing)} missing.", hint="pip install 'peft-studio[train]'"
        )


def ensure_model(
    name: str, home: Path, *, remote_code: tuple[str, str] | None = None, progress: Progress = lambda text: None
) -> Path:
    """The folder of a base model, ready to load: as it is, converted from its package, or downloaded.

    Raises:
        ModelError: It cannot be found, reached, read or trusted.
        MissingExtra: It has to be prepared and training is not installed.
    """
    if found := find_prepared(name, home):
        return found
    require_train_extra()
    options = ["--remote-code", "@".join(remote_code)] if remote_code else []
    answer = run_worker(["prepare", name, "--home", str(home), *options], progress)
    if "error" in answer:
        raise ModelError(answer["error"]["message"], hint=answer["error"]["hint"], fields=("model",))
    return Path(answer["folder"])


def fetch_dataset(name: str, home: Path, *, progress: Progress = lambda text: None) -> Path:
    """The folder of a hub data set on this machine.

    Raises:
        DataError: It cannot be found or reached.
    """
    require_train_extra()
    answer = run_worker(["fetch-dataset", name, "--home", str(home)], progress)
    if "error" in answer:
        raise DataError(answer["error"]["message"], hint=answer["error"]["hint"])
    return Path(answer["folder"])


def run_worker(arguments: list[str], progress: Progress) -> dict[str, Any]:
    """Run a worker command of ``python -m peft_studio.runner``; its last line is the answer, those before it are progress."""
    command = [sys.executable, "-m", "peft_studio.runner", *arguments]
    last: dict[str, Any] = {}
    with subprocess.Popen(
        command,
        env=without_keys(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout
        assert process.stderr
        for line in process.stdout:
            last = json.loads(line)
            if text := last.get("step"):
                progress(str(text))
        errors = process.stderr.read()
    if not {"folder", "error", "speed"} & last.keys():
        raise ModelError(
            f"{arguments[0].capitalize()} ended without an answer (status {process.returncode}).\n{errors[-2000:]}",
            hint="peft-studio doctor checks the installation.",
        )
    return last
