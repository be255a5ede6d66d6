"""The vault and a real keystore: gnome-keyring, over a session bus of its own, in a home of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# A process of its own for each step, as kernels are. It says what it saw, one word a line.
STEP = """
import sys
from pathlib import Path
from peft_studio.core.errors import VaultError
from peft_studio.core.vault import Secret, Vault

what, folder = sys.argv[1:]
vault = Vault(Path(folder))
try:
    if what == "set":
        vault.set("huggingface", Secret("hf_" + "Canary" * 6))
        print(vault.tier.name, vault.data_key("outbox").hex())
    elif what == "get":
        print((vault.get("huggingface") or Secret("none")).reveal(), vault.data_key("outbox").hex())
    elif what == "rotate":
        vault.move("keystore")
    elif what == "erase":
        vault.erase()
    print(vault.tier)
except VaultError as error:
    print(type(error).__name__, error)
"""
# Each part is a login: a bus, a daemon opened with a password, or not at all.
LOGIN = """
printf %s "$PASSWORD" | gnome-keyring-daemon --unlock --components=secrets >/dev/null
for what in "$@"; do echo "> $what"; "$PYTHON" -c "$STEP" "$what" "$FOLDER"; done
"""


@pytest.fixture
def login(tmp_path: Path):
    """Log in with a password and take steps; what they said, by step. All processes of the login end with it."""
    missing = [tool for tool in ("dbus-run-session", "gnome-keyring-daemon") if not shutil.which(tool)]
    if missing:
        pytest.skip(
            f"{' and '.join(missing)} not installed: the Secret Service is untested here (Debian: gnome-keyring, dbus)"
        )

    def _login(password: str, *steps: str) -> list[str]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        environment = {
            "HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHON": sys.executable,
            "XDG_RUNTIME_DIR": str(home), "PASSWORD": password, "STEP": STEP, "FOLDER": str(tmp_path / "vault"),
        }  # fmt: skip
        command = ["dbus-run-session", "--", "sh", "-c", LOGIN, "sh", *steps]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        return done.stdout.split("> ")[1:]

    return _login


def test_keys_live_in_gnome_keyring_over_logins(login, tmp_path: Path) -> None:
    """Set in one login, got in the next; out of reach while the keyring is locked; rotated; erased. Never in any file as it is."""
    (first,) = login("login password", "set")
    assert "keystore" in first, first
    data_key = first.split()[2]
    assert "the desktop's keyring (Secret Service) opens" in first

    got, rotated, got_again = login("login password", "get", "rotate", "get")
    assert got.split()[1:3] == ["hf_" + "Canary" * 6, data_key]
    assert got_again.split()[1:3] == got.split()[1:3]
    assert "Error" not in rotated

    (locked,) = login("another password", "get")
    assert "KeystoreUnavailable" in locked
    assert "hf_" not in locked

    (got,) = login("login password", "get")
    assert got.split()[1:3] == ["hf_" + "Canary" * 6, data_key]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files if path.suffix == ".keyring"]
    assert not [path for path in files if b"Canary" in path.read_bytes() or data_key.encode() in path.read_bytes()]

    _, after = login("login password", "erase", "get")
    assert "none" in after


def test_a_desktop_whose_keyring_stays_locked_leaves_keys_in_the_process(login, tmp_path: Path) -> None:
    """Nothing hangs on a prompt that nobody sees, nothing is written, and the tier says why."""
    login("login password", "set")
    shutil.rmtree(tmp_path / "vault")

    (said,) = login("another password", "set")

    assert said.split()[1] == "process"
    assert "KeyringLocked" in said
    assert not (tmp_path / "vault" / "vault.sealed").exists()
