"""What is bought for an intent: the boot script, and the secrets by which a machine and its owner know each other.

The secrets are made before the machine is, one set a machine, and stand in the run's folder, readable by this user alone, as the address and
token of an agent at home do. They open that machine and nothing else, and are deleted once it is gone.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from secrets import token_urlsafe

from peft_studio.core.errors import RentError
from peft_studio.core.ports.rental import Rent, Way
from peft_studio.core.redact import REDACTOR, Secret
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.services.rent.boot import BootPlan, build_boot
from peft_studio.core.services.rent.record import Intent
from peft_studio.core.system import write_private
from peft_studio.core.vault.certificate import make_certificate

PORT = 8443
KEEP_S = 900  # a run that has ended waits so long for its files to be fetched
SECRETS_FILE = "/home/ubuntu/.peft-studio/secrets"
LONGER_S = 86_400.0  # a certificate outlives its machine


@dataclass(frozen=True, slots=True)
class Pass:
    """What opens one machine. ``certificate``: the only one to be trusted; ``tls``: its key, for the machine."""

    token: Secret
    certificate: str
    tls: Secret


class Passes:
    """Those of one run."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder.path / "machines"

    def make(self, label: str, *, valid_s: float) -> Pass:
        """The one of a machine that is to be; the same one when asked again."""
        if found := self.find(label):
            return found
        made = make_certificate(valid_s=valid_s + LONGER_S)
        fresh = Pass(Secret(token_urlsafe(32)), made.certificate, made.key)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_private(
            self._path(label),
            json.dumps({"token": fresh.token.reveal(), "certificate": fresh.certificate, "tls": fresh.tls.reveal()}),
        )
        return fresh

    def find(self, label: str) -> Pass | None:
        """The one of a machine; None where it has none here."""
        try:
            found = json.loads(self._path(label).read_text(encoding="utf-8"))
            kept = Pass(Secret(found["token"]), found["certificate"], Secret(found["tls"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise RentError(f"What opens the machine {label} cannot be read.", hint="It can still be ended.") from exc
        REDACTOR.add(kept.token)
        return kept

    def forget(self, label: str) -> None:
        """Delete it: its machine is gone."""
        self._path(label).unlink(missing_ok=True)

    def _path(self, label: str) -> Path:
        return self._folder / f"{label}.json"


def build_rent(
    intent: Intent, known: Pass, way: Way, *, lease_s: int = 600, public_key: str | None = None, host_key: Secret | None = None
) -> Rent:  # fmt: skip
    """What to buy. The machine's own brakes have the intent's lifetime; over a provider's own TLS it needs no certificate of ours."""
    assert intent.offer is not None
    tunnel = way.door == "tunnel"
    plan = BootPlan(
        run=intent.run_id, port=PORT, door=way.door, lifetime_s=int(intent.lifetime_s), lease_s=lease_s, keep_s=max(lease_s, KEEP_S),
        self_end=way.self_end, secrets_file=SECRETS_FILE if tunnel else "",
    )  # fmt: skip
    secrets = {"PS_TOKEN": known.token}
    if way.door == "tls":
        secrets["PS_TLS"] = Secret(base64.b64encode(known.tls.reveal().encode()).decode())
    ceiling = intent.max_usd_per_hour
    return Rent(
        label=intent.label, offer=intent.offer, boot=build_boot(plan), disk_gib=intent.disk_gib, secrets=secrets,
        ports=() if tunnel else (PORT,), max_usd_per_hour=max(ceiling, Decimal(0)) if ceiling is not None else None,
        public_key=public_key, host_key=host_key,
    )  # fmt: skip
