"""Doors behind SSH, on machines that a real sshd guards: opened once, given their secrets once, opened anew where the line broke."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from peft_studio.connectors.base.ssh import SECRETS, SshHome
from peft_studio.connectors.base.ssh_doors import SshDoors
from peft_studio.core.errors import Unavailable
from peft_studio.core.ports.rental import Ssh
from peft_studio.core.redact import Secret
from tests.conftest import wait_for
from tests.emulators.lambdalabs import SSHD
from tests.emulators.machine import Machines
from tests.unit.connectors.base.test_ssh import start
from tests.unit.connectors.lambdalabs.test_user_data import build_rent

pytestmark = pytest.mark.skipif(SSHD is None, reason="no sshd on this machine (Debian: openssh-server)")
WHERE = Ssh(host="198.51.100.7", user="ubuntu")
BOOT = """\
until read -r name token 2>/dev/null </home/ubuntu/.peft-studio/secrets; do sleep 0.02; done
echo "$name"
rm -f /home/ubuntu/.peft-studio/secrets
exec python3 -m http.server --bind 127.0.0.1 "$PEFT_STUDIO_PORT_8443"
"""


def status_of(address: str) -> int:
    line = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        line.request("GET", "/")
        return line.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        line.close()


def test_a_door_is_opened_once_and_again_when_its_line_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Its secrets come before it listens, and never a second time; nothing is left when it is forgotten."""
    keys = SshHome(tmp_path / "ssh")
    doors = SshDoors(keys)

    def find(label: str = "ps-run-1") -> str:
        return doors.find_address(label, WHERE, 8443, platform="lambdalabs", secrets={"PS_TOKEN": Secret("hush-hush")})

    with Machines(tmp_path / "machines") as machines:
        rent = build_rent(boot=BOOT, public_key=keys.public_key(), host_key=keys.host_key("ps-run-1"))
        vm = start(machines, rent, monkeypatch)
        try:
            first = find()
            wait_for(lambda: status_of(first) == 200, "the door")
            assert find() == first
            assert vm.log.startswith("PS_TOKEN\n")

            (session,) = [one for one in psutil.Process(vm.machine.pid).children(recursive=True) if one.name() == "cat"]
            session.kill()
            wait_for(lambda: status_of(first) == 0, "the line to break")
            wait_for(lambda: status_of(find()) == 200, "it to be opened anew")
            second = find()
            assert status_of(second) == 200
            assert not (vm.folder / "home/ubuntu" / SECRETS).exists()  # it had them

            doors.close()
            assert status_of(second) == 0
            assert status_of(find()) == 200
        finally:
            vm.end()
        doors.forget("ps-run-1")
        assert not (tmp_path / "ssh" / "ps-run-1").exists()
        keys.host_key("ps-run-1")
        with pytest.raises(Unavailable):
            find()
