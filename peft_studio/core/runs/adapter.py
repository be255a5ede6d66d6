"""The result of a run, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Adapter:
    """Trained PEFT weights in peft's own format: ``peft.PeftModel.from_pretrained(base, adapter.path)`` loads them."""

    path: Path
    base_model: str
    method: str
    sha256: str
    size_bytes: int

    def __repr__(self) -> str:
        return f"Adapter({self.method} on {self.base_model}, {self.size_bytes / 1e6:.1f} MB, sha256 {self.sha256[:12]}…, {self.path})"
