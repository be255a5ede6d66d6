"""What is bought for an intent: the boot script, and what the machine and its owner know each other by.

The credentials are made before the machine is, one set a machine, and stand in the run's folder, readable by this user alone, as the address
and token of an agent at home do. They open that machine and nothing else, and are deleted once it is gone.
"""

from __future__ import annotations

import json

from peft_studio.core.errors import RentError
from peft_studio.core.ports.rental import Rent, Way
from peft_studio.core.redact import REDACTOR, Secret
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.services.rent.boot import BootPlan, build_boot
from peft_studio.core.services.rent.credentials import Credentials, make_credentials
from peft_studio.core.services.rent.record import Intent
from peft_studio.core.system import write_private

PORT = 8443
LEASE_S = 600  # a machine ends itself after so long with neither its owner nor progress
SECRETS_FILE = "/home/ubuntu/.peft-studio/secrets"  # where connectors.base.ssh puts them


class Passes:
    """The credentials of one run's machines."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder.path / "machines"

    def make(self, intent: Intent, *, tls: bool) -> Credentials:
        """Those of a machine that is to be; the same ones when asked again."""
        if found := self.find(intent.label):
            return found
        fresh = make_credentials(lifetime_s=intent.lifetime_s, tls=tls)
        kept = {
            "token": fresh.token.reveal(), "certificate": fresh.certificate, "key": fresh.key.reveal() if fresh.key else None,
        }  # fmt: skip
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_private(self._folder / f"{intent.label}.json", json.dumps(kept))
        return _hide(fresh)

    def find(self, label: str) -> Credentials | None:
        """Those of a machine; None where it has none here.

        Raises:
            RentError: They cannot be read.
        """
        try:
            found = json.loads((self._folder / f"{label}.json").read_text(encoding="utf-8"))
            key = Secret(found["key"]) if found["key"] else None
            return _hide(Credentials(Secret(found["token"]), found["certificate"], key))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise RentError(f"What opens the machine {label} cannot be read.", hint="It can still be ended.") from exc

    def forget(self, label: str) -> None:
        """Delete them: their machine is gone."""
        (self._folder / f"{label}.json").unlink(missing_ok=True)


def _hide(given: Credentials) -> Credentials:
    """Have what opens a machine hidden in whatever its provider says, who is sent it."""
    for secret in filter(None, (given.token, given.key)):
        REDACTOR.add(secret)
    return given


def build_rent(
    intent: Intent, given: Credentials, way: Way, *, lease_s: int = LEASE_S, public_key: str | None = None, host_key: Secret | None = None
) -> Rent:  # fmt: skip
    """What to buy. The machine's own brakes have the intent's lifetime; one that only SSH leads to gets its secrets by that way, later."""
    assert intent.offer is not None
    tunnel = way.door == "tunnel"
    plan = BootPlan(
        run=intent.run_id, port=PORT, door=way.door, lifetime_s=int(intent.lifetime_s), lease_s=lease_s, keep_s=max(lease_s, int(intent.keep_s)),
        idle_s=int(intent.idle_s or 0), self_end=way.self_end, switch_off=way.switch_off, secrets_file=SECRETS_FILE if tunnel else "",
    )  # fmt: skip
    return Rent(
        label=intent.label, offer=intent.offer, boot=build_boot(plan), disk_gib=intent.disk_gib,
        secrets={} if tunnel else given.environment, ports=() if tunnel else (PORT,), max_usd_per_hour=intent.max_usd_per_hour,
        public_key=public_key, host_key=host_key,
    )  # fmt: skip
