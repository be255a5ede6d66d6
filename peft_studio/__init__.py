"""PEFT Studio: the whole LLM fine-tuning workflow inside Jupyter, or in a plain script.

    from peft_studio import studio
    run = studio.launch(studio.spec(model="smollm2-135m", data="train.jsonl"))
    run.wait()

Importing this loads neither torch nor pandas; names load what they need when first used.
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft_studio._studio import Studio
    from peft_studio.core.errors import RunFailed, StudioError

    studio: Studio

__version__ = "0.1.0.dev0"
__all__ = ["RunFailed", "Studio", "StudioError", "studio"]

_HOMES = {
    "Studio": "peft_studio._studio",
    "RunFailed": "peft_studio.core.errors",
    "StudioError": "peft_studio.core.errors",
}
_making = threading.Lock()


def __getattr__(name: str) -> Any:
    if name == "studio":  # the kernel's one shared session
        with _making:
            return globals().get("studio") or globals().setdefault("studio", __getattr__("Studio")())
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
