"""A run's adapter merged into its base, made in a process of its own and kept in the home until it has been published, or for a day."""

from __future__ import annotations

from pathlib import Path

from peft_studio.core.errors import ModelError
from peft_studio.core.runs.adapter import Adapter
from peft_studio.core.services.prepare import Progress, require_train_extra, run_worker
from peft_studio.core.services.publish.staged import staged_folder
from peft_studio.core.system import locked


def ensure_merged(base: Path, adapter: Adapter, home: Path, *, progress: Progress) -> Path:
    """The folder of the merged model.

    Raises:
        ModelError: It cannot be made, or answers differently from base and adapter. MissingExtra: Training is not installed.
    """
    folder = staged_folder(home, f"merged-{adapter.sha256[:16]}")
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():
            return folder
        require_train_extra()
        answer = run_worker(["merge", str(base), str(adapter.path), str(folder)], progress)
    if "error" in answer:
        raise ModelError(answer["error"]["message"], hint=answer["error"]["hint"])
    return Path(answer["folder"])
