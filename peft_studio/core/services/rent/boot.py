"""The script that a rented machine runs as it starts: built from what stands in ``runner/node``, readable, without a secret.

Knows no provider: how a machine ends itself is told by its connector.
"""

from __future__ import annotations

import base64
import gzip
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from peft_studio.core.errors import SpecError
from peft_studio.core.ports.rental import SelfEnd

NODE = Path(__file__).parents[3] / "runner" / "node"
BEFORE_THE_PACKAGE = ("desk.py", "message.py", "carry.py", "door.py", "lease.py")
END_OF_FILE = "PS_END_OF_FILE"
SAVE_S = 90  # what stopping and saving may take; with the request to the provider it must stay below two minutes
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,100}")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:/_-]+(\$\{[A-Z_]+\}[A-Za-z0-9/_-]*)*")
_COMMAND = re.compile(r"[A-Za-z0-9./_-]+( [A-Za-z0-9./_-]+)*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class BootPlan:
    """What a machine is to do.

    Attributes:
        run: Id of the run; its folder there has this name.
        port: The door's; on an emulated machine ``$PEFT_STUDIO_PORT_<port>`` stands for it.
        door: ``tls`` with our own certificate; ``proxy``: the provider's HTTPS stands before it; ``tunnel``: loopback alone, reached by SSH.
        lifetime_s: Brake 2: the machine ends after so long, whatever happens.
        lease_s: Brake 1: it ends after so long without its owner and without progress.
        keep_s: The same once the run has ended, for its files to be fetched; as ``lease_s`` where None.
        idle_s: A GPU that has nothing to do for so long: the agent warns, then stops and saves. 0: it may.
        self_end: None where the provider lets no machine end itself: the brakes end the work, and switch it off.
        switch_off: The command that ends it then.
        secrets_file: Where the owner puts the secrets, if they do not come in the environment.
    """

    run: str
    port: int
    door: Literal["tls", "proxy", "tunnel"]
    lifetime_s: int
    lease_s: int = 600
    keep_s: int | None = None
    save_s: int = SAVE_S
    idle_s: int = 0
    self_end: SelfEnd | None = None
    switch_off: str = "shutdown -h now"
    secrets_file: str = ""

    def __post_init__(self) -> None:
        end = self.self_end
        if not _RUN.fullmatch(self.run) or not 0 < self.port < 65536:
            raise SpecError(f"{self.run!r} on port {self.port} is no run that a machine could have.")
        if end and not (_ADDRESS.fullmatch(end.url) and _VARIABLE.fullmatch(end.key) and end.method.isalpha()):
            raise SpecError("The request by which a machine ends itself is not one that a script could hold safely.")
        if not _COMMAND.fullmatch(self.switch_off):
            raise SpecError(f"{self.switch_off!r} is no command that a script could hold safely.")
        if not 0 < self.save_s < self.lifetime_s or self.lease_s <= 0:
            raise SpecError(
                f"A machine that lives {self.lifetime_s} s has no time to save what it learned.",
                hint=f"Give it more than {self.save_s} s.",
            )


def build_boot(plan: BootPlan) -> str:
    """The script. The same plan gives the same bytes."""
    script = _read("boot.sh").replace("#@settings\n", _settings(plan)).replace("#@end.py\n", _read("end.py"))
    head, mark, tail = script.partition("#@files\n")
    files = "".join(
        f"cat > boot/peft_studio/runner/node/{name} <<'{END_OF_FILE}'\n{_read(name)}{END_OF_FILE}\n"
        for name in BEFORE_THE_PACKAGE
    )
    assert mark
    return head + files + tail


def fold(script: str, *, piece_characters: int = 3000) -> tuple[str, dict[str, str]]:
    """A script for providers that take only short ones: a short command, and the environment from which it unfolds the whole.

    The script is packed, not hidden: ``echo $PS_BOOT_0$PS_BOOT_1… | base64 -d | gunzip`` shows it.
    """
    packed = base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode()
    pieces = [packed[at : at + piece_characters] for at in range(0, len(packed), piece_characters)]
    environment = {f"PS_BOOT_{number}": piece for number, piece in enumerate(pieces)}
    names = "".join(f"$PS_BOOT_{number}" for number in range(len(pieces)))
    command = f'printf %s "{names}" | base64 -d | gunzip > /tmp/peft-studio-boot.sh; exec bash /tmp/peft-studio-boot.sh'
    return command, environment


def _settings(plan: BootPlan) -> str:
    end = plan.self_end
    values = {
        "PS_RUN": shlex.quote(plan.run),
        "PS_PORT": f"${{PEFT_STUDIO_PORT_{plan.port}:-{plan.port}}}",
        "PS_BIND": "127.0.0.1" if plan.door == "tunnel" else "0.0.0.0",  # noqa: S104  the provider maps this port to the outside
        "PS_DOOR": plan.door,
        "PS_LIFETIME_S": str(plan.lifetime_s),
        "PS_LEASE_S": str(plan.lease_s),
        "PS_KEEP_S": str(plan.lease_s if plan.keep_s is None else plan.keep_s),
        "PS_SAVE_S": str(plan.save_s),
        "PS_IDLE_S": str(plan.idle_s),
        "PS_END_METHOD": end.method if end else "DELETE",
        "PS_END_URL": f'"{_with_defaults(end.url)}"' if end else "''",
        "PS_END_KEY": f"${{{end.key}:-}}; unset {end.key}" if end else "''",
        "PS_SHUTDOWN": "''" if end else f"'{plan.switch_off}'",
        "PS_SECRETS_FILE": shlex.quote(plan.secrets_file),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _with_defaults(url: str) -> str:
    """A variable that is not set must not end the script."""
    return re.sub(r"\$\{([A-Z_]+)\}", r"${\1:-}", url)


def _read(name: str) -> str:
    return (NODE / name).read_text(encoding="utf-8")
