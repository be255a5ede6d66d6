"""The files of a publication: what goes, made fit for strangers, what stays and why, and a look for secrets in every one of them.

Reads the adapter's folder; writes nothing. Of weights the header is looked at, not the numbers behind it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft_studio.core.errors import AdapterMismatch
from peft_studio.core.models.adapter_files import WEIGHTS, read_adapter
from peft_studio.core.models.prepared import MARKER
from peft_studio.core.redact import REDACTOR
from peft_studio.core.runs.adapter import Adapter
from peft_studio.core.runs.checkpoints import sha256_of
from peft_studio.core.services.check.problem import Problem
from peft_studio.core.services.publish.card import SPEC_FILE, build_card
from peft_studio.core.services.publish.facts import RunFacts

CONFIG, CARD = "adapter_config.json", "README.md"
HEADER_BYTES = 2**20
WHY_NOT = {
    "checkpoints": "optimizer and random states: only for going on with this run",
    "rows": "the training data is yours; its facts are in the card",
    "prompts": "sample prompts and answers may hold data",
    "events and metrics": "logs of this machine; their numbers are in the card",
    "paths and names of this machine": "replaced in the files that had them",
    "keys": "they never leave the vault",
}


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file as strangers will see it: ``content``, or the bytes at ``source``."""

    path: str
    size_bytes: int
    sha256: str
    content: bytes | None = None
    source: Path | None = None

    def read(self, at_most: int = HEADER_BYTES) -> str:
        """Its text, or the beginning of its bytes as such."""
        if self.content is not None:
            return self.content[: at_most if self.path.endswith(".gguf") else None].decode("utf-8", "replace")
        assert self.source is not None
        with self.source.open("rb") as file:
            if self.source.suffix == ".safetensors":  # behind its header are numbers
                at_most = min(at_most, int.from_bytes(file.read(8), "little"))
            return file.read(at_most).decode("utf-8", "replace")


def text_file(path: str, text: str) -> SharedFile:
    """A file made of text."""
    content = text.encode("utf-8")
    return SharedFile(path, len(content), hashlib.sha256(content).hexdigest(), content=content)


def disk_file(path: str, source: Path) -> SharedFile:
    """A file that stands on this machine."""
    return SharedFile(path, source.stat().st_size, sha256_of(source), source=source)


def collect_adapter(adapter: Adapter, facts: RunFacts, repo: str) -> tuple[SharedFile, ...]:
    """An adapter with its card and spec, in peft's own format.

    Raises:
        AdapterMismatch: The adapter's folder is not whole, or its weights are not those of its run.
    """
    config = dict(read_adapter(adapter.path).config)
    weights = disk_file(WEIGHTS, adapter.path / WEIGHTS)
    if weights.sha256 != adapter.sha256:
        raise AdapterMismatch(
            f"{adapter.path / WEIGHTS} is not what its run saved: its digest is another.",
            hint="Restore the file, or run again. Nothing was shared.",
        )
    base = facts.base_id or Path(facts.spec.model).name
    config["base_model_name_or_path"] = base
    files = [
        text_file(CARD, build_card(facts, repo)),
        text_file(CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n"),
        weights,
        text_file(SPEC_FILE, build_spec_text(facts)),
    ]
    if (marker := _read_object(adapter.path / MARKER)) is not None:
        files.append(text_file(MARKER, json.dumps({**marker, "base_model": base}, indent=2) + "\n"))
    return tuple(sorted(files, key=lambda file: file.path))


def build_spec_text(facts: RunFacts) -> str:
    """The run's spec without this machine: no folder, no prompt, no free memory."""
    spec = facts.spec
    name = facts.data_id or Path(spec.data.path).name or "rows"
    data = spec.data.model_copy(update={"path": name, "origin": f"hub:{facts.data_id}" if facts.data_id else name})
    shared = spec.model_copy(
        update={
            "model": facts.base_id or Path(spec.model).name,
            "data": data,
            "sample_prompts": (),
            "sample_steps": None,
            "chosen": spec.chosen - {"sample_prompts", "sample_steps"},
            "basis": spec.basis.model_copy(update={"free_bytes": None}),
        }
    )
    return shared.to_json()


def find_leaks(
    files: tuple[SharedFile, ...], *, private_paths: tuple[str, ...] = (), redact: Callable[[str], str] = REDACTOR.text
) -> Iterator[Problem]:
    """What must not leave: text that the redactor would take out, and folders of this machine. Named by file and line, never quoted."""
    folders = {form for path in private_paths if len(path) > 2 for form in (path, json.dumps(path)[1:-1])}
    for file in files:
        text = file.read()
        for number, line in enumerate(text.split("\n"), 1):
            if redact(line) != line:
                yield _leak(file, number, "secret", "what looks like a key or password")
            elif any(path in line for path in folders):
                yield _leak(file, number, "path", "a folder of this machine")
        if redact(text) != text and not any(redact(line) != line for line in text.split("\n")):
            yield _leak(file, 1, "secret", "what looks like a key over several lines")


def _leak(file: SharedFile, line: int, kind: str, what: str) -> Problem:
    return Problem(
        f"{kind}_in_file",
        "blocking",
        f"{file.path}, line {line}: {what}.",
        "Take it out of the run's name, tags or data source and make the plan again. Nothing was shared.",
    )


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
