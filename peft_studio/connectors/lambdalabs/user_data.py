"""What a machine of Lambda's is told for its first start: a cloud-config, which JSON is a form of. It holds no secret of the user.

Everybody on the machine can ask its metadata service for it. So secrets come later, over SSH, into a file of the login's home that the
boot script looks for; its brakes do not wait for them. What stands in here beside the script is the host key, by which the machine proves
to us that it is the one that was bought.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping

from peft_studio.connectors.lambdalabs import INFO
from peft_studio.core.errors import Refused
from peft_studio.core.ports.rental import Rent
from peft_studio.core.redact import Secret

MOST_BYTES = 1_000_000
EACH_BOOT = "/var/lib/cloud/scripts/per-boot/peft-studio"  # what cloud-init runs whenever the machine starts
PLACE = "/opt/peft-studio"
LOG = "/var/log/peft-studio.log"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

START = """\
#!/bin/bash
# Starts PEFT Studio's boot script, boot.sh beside it, with its settings. By hand, as root: bash {place}/start.sh
exec 9>>"$(dirname "$0")/lock"
flock -n 9 || exit 0 # it runs already
export HOME="${{HOME:-/root}}"
{settings}
exec bash "$(dirname "$0")/boot.sh"
"""


def build_user_data(rent: Rent) -> str:
    """The text for a purchase.

    Raises:
        Refused: It is larger than Lambda takes, or a setting has a name that no variable can have.
    """
    start = START.format(place=PLACE, settings=_exports(rent.settings))
    # In the background: cloud-init is done when its last command is, and a run takes hours.
    run = f"nohup setsid bash {PLACE}/start.sh >>{LOG} 2>&1 </dev/null &"
    config = {
        **({"ssh_keys": {"ed25519_private": _host_key(rent.host_key)}} if rent.host_key else {}),
        "write_files": [
            {"path": f"{PLACE}/start.sh", "permissions": "0755", "content": start},
            {"path": f"{PLACE}/boot.sh", "permissions": "0755", "content": rent.boot},
            {"path": EACH_BOOT, "permissions": "0755", "content": f"#!/bin/bash\n{run}\n"},
        ],
        "runcmd": [["bash", "-c", run]],  # once; should an image not run the other
    }  # fmt: skip
    whole = "#cloud-config\n" + json.dumps(config, indent=1)
    if len(whole.encode()) > MOST_BYTES:
        raise Refused(
            f"The boot script is larger than Lambda takes ({len(whole.encode()):,} of {MOST_BYTES:,} bytes). Nothing was sent.",
            hint="Let it fetch what it needs instead of carrying it.",
            platform=INFO.name,
        )
    return whole


def _exports(settings: Mapping[str, str]) -> str:
    for name in settings:
        if not _NAME.fullmatch(name):
            raise Refused(
                f"{name!r} cannot be the name of a variable. Nothing was sent.",
                hint="Names have letters, digits and _.", platform=INFO.name,
            )  # fmt: skip
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items())


def _host_key(key: Secret) -> str:
    return key.reveal().rstrip("\n") + "\n"
