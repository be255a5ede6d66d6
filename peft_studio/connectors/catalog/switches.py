"""Which connectors a home has switched off, and which ones the environment asks for. One small file, replaced at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

from peft_studio.core.errors import StudioError
from peft_studio.core.system import locked, write_private

VARIABLE = "PEFT_STUDIO_CONNECTORS"
FILE = "connectors.json"


class Switches:
    """The switches of a home. Processes share them; each reads them anew."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE

    def read_disabled(self) -> frozenset[str]:
        """Names that are switched off.

        Raises:
            StudioError: The file is there and cannot be read: what was hidden must not come back by itself.
        """
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))["disabled"]
            return frozenset(str(name) for name in found)
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise StudioError(
                f"{self._path} cannot be read, so nobody knows which connectors are disabled.",
                hint="Delete the file and disable again what you do not want to see.",
            ) from exc

    def set(self, name: str, *, disabled: bool) -> None:
        """Switch one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._path.with_name(".connectors.lock")):
            names = set(self.read_disabled())
            (names.add if disabled else names.discard)(name)
            write_private(self._path, json.dumps({"disabled": sorted(names)}, indent=1) + "\n")


def read_wanted() -> frozenset[str] | None:
    """The names in ``PEFT_STUDIO_CONNECTORS=a,b``; None where it is not set or empty, and then all are wanted."""
    names = frozenset(name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())
    return names or None
