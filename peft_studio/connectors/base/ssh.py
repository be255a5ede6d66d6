"""The way to a rented machine over SSH: the system's own ``ssh``, with keys, host keys and settings of this home and nobody else's.

A machine is known by its label. Its host key is made here and placed by whoever buys it, so that its very first connection is verified;
one whose host key is not known here is not spoken to. Knows no provider.

    keys = SshHome(home / "ssh")
    Rent(..., public_key=keys.public_key(), host_key=keys.host_key("ps-run-1"))
    way = keys.way("ps-run-1", instance.ssh, platform="lambdalabs")
    way.send_secrets({"TOKEN": Secret("…")})
    with way.tunnel(8080) as tunnel: ...    # http://127.0.0.1:{tunnel.port}
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from peft_studio.connectors.base.tunnel import Tunnel
from peft_studio.core.errors import ConnectorError, MissingExtra, NotAuthorised, Unavailable, Untrusted
from peft_studio.core.ports.rental import Ssh
from peft_studio.core.redact import REDACTOR, Secret
from peft_studio.core.system import write_aside

CONNECT_S = 10
COMMAND_S = 60.0
SECRETS = ".peft-studio/secrets"  # in the home of the login
SSH_FAILED = 255  # ssh's own exit code for what went wrong before a command could run

SETTINGS = """\
# Written anew at each connection. By hand: ssh -F {file} {label}
Host *
  HostKeyAlias {label}
  StrictHostKeyChecking yes
  UserKnownHostsFile "{known_hosts}"
  GlobalKnownHostsFile /dev/null
  UpdateHostKeys no
  IdentityFile "{identity}"
  IdentitiesOnly yes
  IdentityAgent none
  PasswordAuthentication no
  KbdInteractiveAuthentication no
  BatchMode yes
  ForwardAgent no
  ControlPath none
  ExitOnForwardFailure yes
  ConnectTimeout {connect_s}
  ServerAliveInterval 5
  ServerAliveCountMax 3
  LogLevel ERROR
  HostName {host}
  Port {port}
  User {user}
"""


class SshHome:
    """Keys of a home, in a folder that only its user can read. Any process may use it at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def public_key(self) -> str:
        """The key that logs in, the same for every machine; made when it is first asked for."""
        return _read(self._pair("login") / "key.pub")

    def host_key(self, label: str) -> Secret:
        """The private key that the machine of this label is to prove itself with; made when it is first asked for."""
        return Secret((self._pair(label) / "key").read_text(encoding="ascii"))

    def way(self, label: str, ssh: Ssh, *, platform: str) -> SshWay:
        """To the machine of this label. Nobody is asked yet.

        Raises:
            Untrusted: Its host key was not made here, so nothing could tell it from another machine.
        """
        pair = self.folder / label
        if not (pair / "key.pub").is_file():
            raise Untrusted(
                f"The host key of {label} is not known here, so it cannot be told from another machine.",
                hint="Connect from where it was launched.", platform=platform,
            )  # fmt: skip
        write_aside(pair / "known_hosts", f"{label} {_read(pair / 'key.pub')}\n".encode("ascii"))
        settings = SETTINGS.format(
            file=pair / "ssh_config", label=label, known_hosts=pair / "known_hosts", identity=self._pair("login") / "key",
            host=ssh.host, port=ssh.port, user=ssh.user, connect_s=CONNECT_S,
        )  # fmt: skip
        write_aside(pair / "ssh_config", settings.encode())
        return SshWay(label, pair / "ssh_config", platform)

    def forget(self, label: str) -> None:
        """Its keys, once the machine is gone."""
        shutil.rmtree(self.folder / label, ignore_errors=True)

    def _pair(self, name: str) -> Path:
        """The folder of a key pair. Of two who make one at once, one wins and both use it."""
        place = self.folder / name
        if (place / "key").is_file():
            return place
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            pair = Path(made) / "pair"
            pair.mkdir(mode=0o700)
            _make_key(pair / "key", name)
            try:
                pair.rename(place)
            except OSError:
                if not (place / "key").is_file():
                    raise
        return place


@dataclass(frozen=True, slots=True)
class SshWay:
    """To one machine. ``config``: what ``ssh -F`` needs, also by hand."""

    label: str
    config: Path
    platform: str

    @property
    def command(self) -> list[str]:
        """What every connection begins with."""
        return [_program("ssh"), "-F", str(self.config), "-T"]

    def run(self, command: str, *, given: bytes = b"", timeout_s: float = COMMAND_S) -> str:
        """Run a shell's command there and return what it printed. ``given`` is its input, which no list of processes shows.

        Raises:
            ConnectorError: The machine cannot be reached or is not the right one, or the command failed.
        """
        try:
            done = subprocess.run(
                [*self.command, self.label, command], input=given, capture_output=True, timeout=timeout_s, check=False
            )  # fmt: skip
        except subprocess.TimeoutExpired as exc:
            raise Unavailable(
                f"{self.label} did not finish in {timeout_s:.0f} s over SSH.", hint="Try again.", platform=self.platform,
                may_have_happened=True,
            ) from exc  # fmt: skip
        if done.returncode:
            raise build_error(self, done.returncode, done.stderr.decode("utf-8", "replace"))
        return done.stdout.decode("utf-8", "replace")

    def send_secrets(self, secrets: Mapping[str, Secret], *, to: str = SECRETS) -> None:
        """Put secrets into a file there, in place whole or not at all, that only the login can read: lines of ``NAME value``.

        They travel as input, so that neither here nor there a list of processes has them. ``to`` is relative to the login's home.

        Raises:
            ConnectorError: As :meth:`run`. ValueError: One has more than a line, or blanks around it.
        """
        values = {name: value.reveal() for name, value in secrets.items()}
        if unfit := [name for name, value in values.items() if value != value.strip() or len(value.splitlines()) != 1]:
            raise ValueError(f"{', '.join(unfit)} cannot be sent as a line")
        there = shlex.quote(to)
        self.run(
            f'umask 077 && mkdir -p "$HOME"/{shlex.quote(os.path.dirname(to) or ".")} && cat >"$HOME"/{there}.part && '
            f'mv -f "$HOME"/{there}.part "$HOME"/{there}',
            given="".join(f"{name} {value}\n" for name, value in values.items()).encode(),
        )

    def tunnel(self, port: int) -> Tunnel:
        """A port of the machine's own loopback as one of ours. It closes with its block, and with this process however it ends.

        Raises:
            ConnectorError: As :meth:`run`.
        """
        return Tunnel(self.command, self.label, port, lambda code, said: build_error(self, code, said))


def build_error(way: SshWay, code: int, said: str) -> ConnectorError:
    """What ssh's exit code and its words mean."""
    words = REDACTOR.text(said.strip())[-300:]
    if code != SSH_FAILED:
        return Unavailable(
            f"A command on {way.label} failed ({code}): {words}", hint="Try again.", platform=way.platform
        )  # fmt: skip
    if "host key" in words.lower() or "host identification" in words.lower():
        return Untrusted(
            f"What answers at the address of {way.label} cannot prove that it is that machine. Nothing was sent.",
            hint="Somebody between here and there may be at work: try another network. Ending the machine needs no SSH.",
            platform=way.platform,
        )
    if "permission denied" in words.lower():
        return NotAuthorised(
            f"{way.label} does not take the SSH key of this home.", hint="Connect from where it was launched.",
            platform=way.platform,
        )  # fmt: skip
    return Unavailable(
        f"{way.label} cannot be reached over SSH: {words or 'no answer'}",
        hint="A machine that was just bought takes minutes; try again.", platform=way.platform,
    )  # fmt: skip


def _make_key(path: Path, comment: str) -> None:
    subprocess.run(
        [_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
        check=True, capture_output=True, timeout=COMMAND_S,
    )  # fmt: skip


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingExtra(
            f"{name} is not on this machine, and machines of this provider are reached over SSH.",
            hint="Install OpenSSH's client (Debian: openssh-client; Windows has it as an optional feature).",
        )
    return found


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
