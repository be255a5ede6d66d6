"""A machine of Lambda's: what cloud-init does with its user data, then a real sshd, as processes in a folder of their own.

The machine's ``/`` is that folder: what user data say of ``/opt``, ``/var/log`` and the login's home is meant there. The network between is :func:`write_network`: an ``ssh`` that knows at which ports of loopback a
machine's own stand.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.emulators.machine import Machine, Machines, free_port, settle

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
USER = pwd.getpwuid(os.getuid()).pw_name
PORTS = (8080, 8443)

SSHD_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
"""
SHUTDOWN = """\
#!/bin/bash
# nobody's init listens here: the state looks for this file
touch {folder}/switched-off
"""
PLACES = ("/opt/", "/var/log/", "/var/lib/cloud/", "/home/ubuntu/")
# What a connection to the machine's address meets in the world is met here by its ports on loopback.
SSH = """\
#!/bin/bash
given=("$@")
for at in "${{!given[@]}}"; do
  part=${{given[$at]}}
  [ -f "{network}/$part.machine" ] && . "{network}/$part.machine"
done
for at in "${{!given[@]}}"; do
  if [[ ${{given[$at]}} =~ ^(127.0.0.1:[0-9]+:127.0.0.1:)([0-9]+)$ ]]; then
    port="port_${{BASH_REMATCH[2]}}"
    given[$at]="${{BASH_REMATCH[1]}}${{!port:-${{BASH_REMATCH[2]}}}}"
  fi
done
exec {ssh} -o HostName=127.0.0.1 -o Port="${{sshd:-1}}" -o User={user} "${{given[@]}}"
"""


class BadUserData(Exception):
    """cloud-init could not make anything of it."""


class Vm:
    """Starts at once; ``answers`` when one can log in."""

    def __init__(self, machines: Machines, name: str, *, user_data: str, public_key: str) -> None:
        self.folder = machines.root / name
        self._machines, self.port = machines, free_port()
        self.ended = False
        config = read_user_data(user_data)
        self._write(config, public_key)
        self._start([shlex.join(map(self._within, one)) for one in config.get("runcmd", ())])

    def _start(self, commands: Iterable[str] = ()) -> None:
        """Boot; ``commands`` are those of the first time, before what is for each."""
        place, each = self.folder / "etc" / "ssh", self.folder / "var/lib/cloud/scripts/per-boot"
        make = f"ssh-keygen -q -t ed25519 -N '' -f {place}/made && mv {place}/made {place}/ssh_host_ed25519_key"
        made = [] if (place / "ssh_host_ed25519_key").read_text() else [make]
        always = [f'for script in {each}/*; do [ ! -x "$script" ] || "$script"; done']
        ports = " ".join(f"PEFT_STUDIO_PORT_{port}=$PEFT_STUDIO_PORT_{port}" for port in PORTS)
        login = f'echo "SetEnv HOME={self.folder}/home/ubuntu {ports}" >>{self.folder}/sshd_config'
        start = ["#!/bin/bash", *made, *commands, *always, login, f"exec {SSHD} -D -e -f {self.folder}/sshd_config"]
        _write(self.folder / "sshd_config", SSHD_CONFIG.format(port=self.port, folder=self.folder), 0o600)
        _write(self.folder / "start.sh", "\n".join(start) + "\n", 0o755)
        path = os.pathsep.join((str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        command = ["/bin/bash", str(self.folder / "start.sh")]
        self.machine: Machine = self._machines.start(self.folder.name, command, env={"PATH": path}, ports=PORTS)

    def reboot(self) -> None:
        """It starts anew, as after a fault of its host. Its ports on loopback are others then."""
        self._cut_off()
        self._start()

    def answers(self) -> bool:
        """Whether its sshd listens."""
        return any(
            one.laddr.port == self.port and one.status == psutil.CONN_LISTEN
            for one in psutil.net_connections("tcp4")
        )  # fmt: skip

    @property
    def reached_at(self) -> int:
        """The port by which one gets to its sshd from outside."""
        return self._machines.reached_at(self.port)

    @property
    def log(self) -> str:
        """What its boot script printed."""
        path = self.folder / "var" / "log" / "peft-studio.log"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @property
    def switched_off(self) -> bool:
        """Whether somebody on it said ``shutdown``."""
        return (self.folder / "switched-off").exists()

    def end(self) -> None:
        """Off, with every connection that leads to it: sshd's sessions leave its group, and take its mark out of their environment."""
        if self.ended:
            return  # its number may be another process's by now
        self.ended = True
        self._cut_off()

    def _cut_off(self) -> None:
        try:
            sessions = psutil.Process(self.machine.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            sessions = []
        for session in sessions:
            try:
                session.kill()
            except psutil.NoSuchProcess:
                continue
        self.machine.end()

    def _write(self, config: dict[str, Any], public_key: str) -> None:
        keys = config.get("ssh_keys", {})
        place = self.folder / "etc" / "ssh"
        place.mkdir(parents=True, exist_ok=True)
        _write(place / "ssh_host_ed25519_key", keys.get("ed25519_private", ""), 0o600)
        _write(self.folder / "authorized_keys", public_key + "\n", 0o600)
        _write(self.folder / "bin" / "shutdown", SHUTDOWN.format(folder=self.folder), 0o755)
        for named in PLACES:
            (self.folder / named.strip("/")).mkdir(parents=True, exist_ok=True)
        for file in config.get("write_files", ()):
            mode = int(file.get("permissions", "0644"), 8)
            content = file["content"]
            if file["path"].endswith("/boot.sh"):
                content = settle(content, self._machines.settings)
            _write(self.folder / file["path"].lstrip("/"), self._within(content), mode)
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's sshd wants it; Debian makes it at boot

    def _within(self, text: str) -> str:
        for named in PLACES:
            text = text.replace(named, f"{self.folder}{named}")
        return text


def read_user_data(text: str) -> dict[str, Any]:
    """A cloud-config, of the modules that are known here.

    Raises:
        BadUserData: Lambda's machine would start without it.
    """
    if not text:
        return {}
    if not text.startswith("#cloud-config\n"):
        raise BadUserData("no cloud-config")
    config = yaml.safe_load(text)
    if not isinstance(config, dict) or set(config) - {"ssh_keys", "write_files", "runcmd"}:
        raise BadUserData(f"modules that are not known here: {config}")
    return config


def write_network(folder: Path, vms: Iterable[tuple[str, Vm]]) -> Path:
    """A folder for PATH whose ``ssh`` reaches the machines of these names (labels) by them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, vm in vms:
        lines = [f"sshd={vm.reached_at}", *(f"port_{port}={here}" for port, here in vm.machine.ports.items())]
        (folder / f"{name}.machine").write_text("\n".join(lines) + "\n")
    real = shutil.which("ssh", path=os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != str(folder)))  # fmt: skip
    _write(folder / "ssh", SSH.format(network=folder, ssh=real, user=USER), 0o755)
    return folder


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
