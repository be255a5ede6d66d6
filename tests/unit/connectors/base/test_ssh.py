"""SSH to a machine that a real sshd guards: verified from the first connection on, secrets as input alone, tunnels that end with us."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from peft_studio.connectors.base.ssh import SECRETS, SshHome, SshWay
from peft_studio.connectors.lambdalabs.user_data import build_user_data
from peft_studio.core.errors import NotAuthorised, Unavailable, Untrusted
from peft_studio.core.ports.rental import Rent, Ssh
from peft_studio.core.redact import Secret
from tests.conftest import wait_for
from tests.emulators.lambdalabs import SSHD
from tests.emulators.lambdalabs.vm import Vm, write_network
from tests.emulators.machine import Machines
from tests.unit.connectors.lambdalabs.test_user_data import build_rent

pytestmark = pytest.mark.skipif(SSHD is None, reason="no sshd on this machine (Debian: openssh-server)")
LABEL = "ps-run-1"
VMS: list[Vm] = []
BOOT = """\
echo "run $PS_RUN"
until [ -r /home/ubuntu/.peft-studio/secrets ]; do sleep 0.02; done
while read -r name value; do printf -v "$name" %s "$value"; done < /home/ubuntu/.peft-studio/secrets
rm -f /home/ubuntu/.peft-studio/secrets
printf %s "$HF_TOKEN" | sha256sum
exec python3 -m http.server --bind 127.0.0.1 "${PEFT_STUDIO_PORT_8080:-8080}"
"""


@pytest.fixture
def keys(tmp_path: Path) -> SshHome:
    return SshHome(tmp_path / "home" / "ssh")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with Machines(tmp_path / "machines") as machines:
        yield machines
        for vm in VMS:
            vm.end()
        VMS.clear()


def start(machines: Machines, rent: Rent, monkeypatch: pytest.MonkeyPatch) -> Vm:
    """A machine of that label, up."""
    assert rent.public_key is not None
    vm = Vm(machines, rent.label, user_data=build_user_data(rent), public_key=rent.public_key)
    VMS.append(vm)
    network = write_network(machines.root / "network", [(rent.label, vm)])
    if str(network) not in os.environ["PATH"]:
        monkeypatch.setenv("PATH", str(network), prepend=os.pathsep)
    wait_for(vm.answers, "sshd")
    return vm


def way_to(keys: SshHome, label: str = LABEL) -> SshWay:
    return keys.way(label, Ssh(host="198.51.100.7", user="ubuntu"), platform="lambdalabs")


def test_secrets_arrive_and_the_boot_script_starts_with_them(
    keys: SshHome, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From user data to an answering port: the whole way of a machine of Lambda's; what its script read it deletes."""
    token = Secret("hf_'quoted' $HOME \\t \"twice\"")
    rent = build_rent(
        boot=BOOT, public_key=keys.public_key(), host_key=keys.host_key(LABEL), secrets={"HF_TOKEN": token},
        settings={"PS_RUN": "it's a run"},
    )  # fmt: skip
    vm = start(machines, rent, monkeypatch)
    way = way_to(keys)
    assert way.run("echo $HOME").strip() == str(vm.folder / "home/ubuntu")
    wait_for(lambda: vm.log == "run it's a run\n", "the boot script")

    way.send_secrets({"HF_TOKEN": token})
    wait_for(lambda: vm.machine.answers(8080), "the boot script's port")

    assert vm.log.splitlines()[1] == hashlib.sha256(token.reveal().encode()).hexdigest() + "  -"
    assert not (vm.folder / "home/ubuntu" / SECRETS).exists()
    with way.tunnel(8080) as tunnel:
        line = http.client.HTTPConnection("127.0.0.1", tunnel.port, timeout=10)
        line.request("GET", "/start.sh")
        assert line.getresponse().status == 200
        assert tunnel.alive
        line.close()
        vm.end()
        wait_for(lambda: not tunnel.alive, "the tunnel to notice")


def test_what_is_sent_is_the_logins_alone_and_in_no_list_of_processes(
    keys: SshHome, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of mode 0600, whole or not there."""
    vm = start(machines, build_rent(public_key=keys.public_key(), host_key=keys.host_key(LABEL)), monkeypatch)
    way = way_to(keys)
    seen: list[str] = []
    run = subprocess.run

    def note(command: list[str], **given: object) -> object:
        seen.extend(command)
        return run(command, **given)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", note)
    way.send_secrets({"A": Secret("canary-value")}, to="deep/er/secrets")

    file = vm.folder / "home/ubuntu/deep/er/secrets"
    assert file.read_text() == "A canary-value\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "canary-value" not in " ".join(seen)
    assert sorted(one.name for one in file.parent.iterdir()) == ["secrets"]
    for unfit in ("two\nlines", " blank", "end\n", "\x85".join("ab")):
        with pytest.raises(ValueError, match=r"^B cannot"):
            way.send_secrets({"A": Secret("canary-value"), "B": Secret(unfit)})


def test_another_machine_at_its_address_is_not_spoken_to(
    keys: SshHome, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has another host key, or one that nobody placed."""
    start(machines, build_rent(public_key=keys.public_key(), host_key=keys.host_key("ps-other-1")), monkeypatch)
    keys.host_key(LABEL)
    for act in (lambda: way_to(keys).run("true"), lambda: way_to(keys).tunnel(8080)):
        with pytest.raises(Untrusted, match=LABEL) as caught:
            act()
        assert "Nothing was sent" in caught.value.message
    with pytest.raises(Untrusted, match="not known here"):
        way_to(keys, "ps-somebody-1")


def test_another_homes_key_is_refused(
    keys: SshHome, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """With a typed error, and a machine that is not there with another."""
    other = SshHome(tmp_path / "other")
    vm = start(machines, build_rent(public_key=other.public_key(), host_key=keys.host_key(LABEL)), monkeypatch)
    with pytest.raises(NotAuthorised):
        way_to(keys).run("true")
    vm.end()
    with pytest.raises(Unavailable):
        way_to(keys).run("true")
    with pytest.raises(Unavailable):
        way_to(keys).tunnel(8080)


def test_a_failing_command_is_an_error_with_its_words(
    keys: SshHome, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that takes too long, too."""
    start(machines, build_rent(public_key=keys.public_key(), host_key=keys.host_key(LABEL)), monkeypatch)
    with pytest.raises(Unavailable, match="no disk"):
        way_to(keys).run("echo no disk >&2; exit 3")
    with pytest.raises(Unavailable, match="did not finish"):
        way_to(keys).run("sleep 60", timeout_s=0.5)


def test_a_tunnel_ends_with_the_process_that_opened_it(
    keys: SshHome, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with signal 9, it leaves no ssh behind."""
    start(machines, build_rent(public_key=keys.public_key(), host_key=keys.host_key(LABEL)), monkeypatch)
    config = way_to(keys).config
    code = textwrap.dedent(f"""
        import pathlib, signal
        from peft_studio.connectors.base.ssh import SshWay
        tunnel = SshWay({LABEL!r}, pathlib.Path({str(config)!r}), "x").tunnel(8080)
        print(tunnel._process.pid, flush=True)
        signal.pause()
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as opener:
        assert opener.stdout is not None
        pid = int(opener.stdout.readline())
        assert psutil.pid_exists(pid)
        opener.send_signal(signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(pid), "ssh to end")


def test_keys_are_made_once_and_are_their_users_alone(keys: SshHome) -> None:
    """The login the same for every machine, the host key one a label; forgetting one leaves the login."""
    assert keys.public_key() == keys.public_key()
    assert keys.public_key().startswith("ssh-ed25519 ")
    assert keys.host_key("ps-a-1") == keys.host_key("ps-a-1")
    assert keys.host_key("ps-a-1") != keys.host_key("ps-b-1")
    private = list(keys.folder.rglob("key"))
    assert len(private) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (keys.folder, *keys.folder.iterdir())} == {0o700}

    first, login = keys.host_key("ps-a-1"), keys.public_key()
    keys.forget("ps-a-1")
    assert keys.host_key("ps-a-1") != first
    assert keys.public_key() == login


def test_an_ssh_that_starts_finds_whole_files_while_another_process_writes_them(keys: SshHome) -> None:
    """An empty list of host keys would pass for a machine that cannot prove itself."""
    keys.host_key(LABEL)
    files = [way_to(keys).config, keys.folder / LABEL / "known_hosts"]
    with files[0].open() as config, files[1].open() as known:
        before = [path.stat().st_ino for path in files]
        way_to(keys)
        assert all(path.stat().st_ino != old for path, old in zip(files, before, strict=True))
        assert config.read()
        assert known.read()
