"""What a rented machine is given to know its owner by, and its owner to know it: made at home, for this one machine, before it is rented."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass

from peft_studio.core.redact import Secret
from peft_studio.core.vault.certificate import make_certificate

SPARE_S = 30 * 86_400.0  # a certificate outlives its machine by this: wherever a clock is set to, the owner gets in


@dataclass(frozen=True, slots=True)
class Credentials:
    """``token`` opens the door. ``certificate`` is the only one to be trusted, in PEM; None where the provider's HTTPS or SSH stands before it."""

    token: Secret
    certificate: str | None
    key: Secret | None

    @property
    def environment(self) -> dict[str, Secret]:
        """The boot script's secrets by their names, for :attr:`peft_studio.core.ports.Rent.secrets`."""
        return {"PS_TOKEN": self.token, **({"PS_TLS": self.key} if self.key else {})}

    @property
    def file(self) -> Secret:
        """The same as the text of a file, for a machine whose script gets no environment: ``BootPlan.secrets_file``."""
        return Secret("".join(f"{name} {value.reveal()}\n" for name, value in self.environment.items()))


def make_credentials(*, lifetime_s: float, tls: bool) -> Credentials:
    """New ones. ``tls``: for a door that nothing of the provider's stands before."""
    token = Secret(secrets.token_urlsafe(32))
    if not tls:
        return Credentials(token, None, None)
    made = make_certificate(valid_s=lifetime_s + SPARE_S)
    return Credentials(token, made.certificate, Secret(base64.b64encode(made.key.reveal().encode()).decode()))
