"""Asks whoever sits here for a secret."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peft_studio.core.ports.platform import ConnectorInfo, KeyField
    from peft_studio.core.redact import Secret


def ask_for(info: ConnectorInfo, field: KeyField) -> Secret | None:
    """Ask whoever sits here for a secret, unseen. None where nobody can be asked, or nothing is given.

    What the environment holds is offered, and taken only on a yes.
    """
    from peft_studio.core.redact import Secret

    if not somebody_is_here():
        return None
    for variable in field.env:
        if os.environ.get(variable) and input(
            f"Use {variable} of the environment for {info.title}? [y/N] "
        ).lower() in ("y", "yes"):
            return Secret(os.environ[variable])
    optional = "" if field.required else "; Enter for none"
    typed = getpass.getpass(f"{field.title} for {info.title} ({info.docs_url}{optional}): ").strip()
    return Secret(typed) if typed else None


def somebody_is_here() -> bool:
    """Whether a question would reach a person: a terminal, or a kernel whose notebook takes answers."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython.get_ipython(), "kernel", None) if ipython else None
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", True))  # False under nbconvert and papermill
    return sys.stdin is not None and sys.stdin.isatty()
