"""Who published what, where and when: lines appended to ``publications.jsonl`` of a home, on disk before anything leaves it.

An intent without an end is a push whose process died: what is there is found by asking the platform, and a repeat does not double it.
"""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from peft_studio.core.ports.registry import Upload
from peft_studio.core.redact import REDACTOR
from peft_studio.core.system import locked, open_private, sync_folder

FILE = "publications.jsonl"
What = Literal["intended", "published", "bundled", "queued", "failed", "cancelled"]


class Publications:
    """The record of one home. Only ever appended to."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE

    def add(self, what: What, to: str, upload: Upload, **more: Any) -> None:
        """One line, synced to disk before this returns."""
        line: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(), "what": what, "id": upload.id, "by": _who(), "to": to, "repo": upload.repo,
            "private": upload.private, **more,
        }  # fmt: skip
        if what == "intended":
            line["files"] = [file.model_dump(mode="json", exclude={"source"}) for file in upload.files]
        text = REDACTOR.text(json.dumps(line, ensure_ascii=False)).encode("utf-8", "replace")
        new = not self._path.exists()
        with locked(self._path.with_name(f".{FILE}.lock")):
            fd = open_private(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            with os.fdopen(fd, "r+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 1))
                if size and file.read(1) != b"\n":  # a line that was cut by a crash ends here
                    text = b"\n" + text
                file.write(text + b"\n")
                os.fsync(fd)
        if new:
            sync_folder(self._path.parent)

    def find_published(self, push_id: str) -> dict[str, Any] | None:
        """The last line that says that a push arrived."""
        return next((one for one in reversed(self.read()) if (one["what"], one["id"]) == ("published", push_id)), None)

    def read(self) -> list[dict[str, Any]]:
        """All lines, oldest first. One that a crash cut short is left out."""
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        found = []
        for line in text.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user: a container with a bare number
        return ""
