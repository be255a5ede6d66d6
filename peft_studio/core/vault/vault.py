"""The vault: keys by name."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from peft_studio.core.errors import VaultError
from peft_studio.core.redact import Secret

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_DATA_KEY = "data-key:"


@dataclass(frozen=True)
class Tier:
    """Where keys are kept now. ``sentence`` is for people; ``durable`` keys outlive this process."""

    name: str
    sentence: str
    durable: bool
    why_not_better: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.sentence, self.why_not_better) if part)


class Vault:
    """Keys by name, in ``folder``. Every call may raise :class:`VaultError`; ``VaultLocked`` asks for :meth:`unlock`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._here: dict[str, Secret] = {}

    @property
    def tier(self) -> Tier:
        """Where keys are kept, and why not in a better place."""
        return Tier("process", "Keys are kept in this process alone and are gone with it.", durable=False)

    def get(self, name: str) -> Secret | None:
        """The key of that name; None when there is none."""
        return self._here.get(_checked(name))

    def set(self, name: str, secret: Secret, *, keep: bool = True) -> None:
        """Keep a key under a name, in place of what was there. ``keep=False`` keeps it in this process alone."""
        self._here[_checked(name)] = secret

    def remove(self, name: str) -> None:
        """Forget the key of that name. One that is not there is gone already."""
        self._here.pop(_checked(name), None)

    def names(self) -> list[str]:
        """The names of all keys, sorted. Data keys are not among them."""
        return sorted(name for name in self._here if not name.startswith(_DATA_KEY))

    def data_key(self, purpose: str) -> bytes:
        """32 random bytes for sealing this machine's own data (AES-256). Made at the first call, then always the same.

        Where ``tier.durable`` is False the key is gone with this process, and so is what was sealed with it.
        """
        name = _DATA_KEY + _checked(purpose)
        if name not in self._here:
            self._here[name] = Secret(base64.b64encode(secrets.token_bytes(32)).decode())
        return base64.b64decode(self._here[name].reveal())


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise VaultError(
            "That cannot be the name of a key.",
            hint="Names have up to 64 of a to z, 0 to 9, dot, hyphen and underscore, and begin with a letter or digit.",
        )
    return name
