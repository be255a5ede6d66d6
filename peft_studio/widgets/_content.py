"""What one panel shows, whatever shows it: a cell, the studio's shell, the sidebar. Knows nothing of widgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

_COMMAND = "_peft_studio_command"
_Method = TypeVar("_Method", bound=Callable[..., Any])


def command(method: _Method) -> _Method:
    """Mark a method that the browser may call by its name, with keyword arguments.

    It runs on a thread of its own and may take its time.
    """
    setattr(method, _COMMAND, True)
    return method


class Content:
    """State to show and commands to obey. A subclass fills in ``sections``, ``streams``, ``snapshot_html`` and commands."""

    module: ClassVar[str] = ""  # its front end: static/<module>.js and .css
    interval_s: float = 0.1  # at most 20 messages a second a panel reach Jupyter; 10 look as smooth
    renewed: bool = False  # set when something else is shown from now on: the page forgets what it had
    unsettled: bool = False  # what is shown is on its way to something: the picture made of it now will be wrong soon
    picture_due: bool = False  # set when the picture that a saved notebook shows has become wrong

    def sections(self) -> dict[str, Any]:
        """The state to show, as JSON by section. Called often, on any thread, one at a time."""
        return {}

    def streams(self, *, full: bool) -> tuple[dict[str, Any], list[bytes]]:
        """What series have grown by since the last call, or with ``full`` all of it: JSON, and blocks beside it."""
        return {}, []

    def snapshot_html(self) -> str:
        """What a saved notebook shows where no kernel is: static HTML, everything escaped, no script."""
        return ""

    def close(self) -> None:
        """Let go of what was held for being shown."""

    def find_command(self, name: str) -> Callable[..., Any] | None:
        """The method that the browser may call by this name."""
        method = getattr(self, name, None) if hasattr(type(self), name) else None
        return method if callable(method) and getattr(method, _COMMAND, False) else None
