"""Forty keys planted wherever a person has keys, one run of the product, and a search for their bytes in all that it wrote, said or started.

The search is written without the product's redactor, so that a form which both forget is a form that nobody looked for here either.
"""

from __future__ import annotations

import base64
import json
import os
import random
import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from peft_studio.core.vault.offered import HUB_TOKENS, VARIABLES
from tests.conftest import end_processes_of
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.speed import write_speed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ALPHABET = string.ascii_letters + string.digits
SIGNS = "\"\\/+=&? é'<>"  # what JSON, URLs, HTML and shells write otherwise
REPO = Repo(
    "org/smollm2",
    {"config.json": b"{}"},
    facts={"pipeline_tag": "text-generation", "downloads": 7, "cardData": {"license": "mit"}},
)


class Canaries:
    """Keys that occur nowhere else, by where they are planted."""

    def __init__(self) -> None:
        draw = random.Random(20261126)
        made = iter(lambda: "".join(draw.choices(ALPHABET, k=34)), None)
        self.environment = {name: next(made) for name in VARIABLES.keys() - HUB_TOKENS}
        self.hub, self.wrong, self.passphrase = "hf_" + next(made), "hf_" + next(made), next(made)
        self.kept = [next(made) + (SIGNS if number % 2 else "") for number in range(20)]

    @property
    def all(self) -> list[str]:
        return [*self.environment.values(), self.hub, self.wrong, self.passphrase, *self.kept]


def forms_of(secret: str) -> Iterator[bytes]:
    """How its bytes look as they are, in JSON, in a URL, in hexadecimal, in UTF-16, and in base64 at each of three places."""
    data = secret.encode()
    yield from (data, json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode(), data.hex().encode())
    yield from (secret.encode("utf-16-le"), secret[::-1].encode())
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data)
        inner = whole[4 if before else 0 : -4]  # without the groups that neighbours have a share in
        yield from (inner, inner.replace(b"+", b"-").replace(b"/", b"_"))


def search(places: dict[str, bytes], canaries: list[str]) -> list[str]:
    """Where any of them occurs in any form: its number, never itself."""
    return [
        f"key {number} in {place}"
        for number, secret in enumerate(canaries)
        for place, content in places.items()
        if any(form in content for form in forms_of(secret))
    ]


class Watcher:
    """Command lines and environments of all processes of ours that a process starts, for as long as the block runs, by command line."""

    def __init__(self, pid: int) -> None:
        self.seen: dict[str, bytes] = {}
        self._process, self._stop = psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            try:
                children = self._process.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            for child in children:
                self._note(child.pid)

    def _note(self, pid: int) -> None:
        """Keep what can be read of a process, each time: until it becomes itself it has its parent's words."""
        try:
            command, environment = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            return
        if b"peft_studio.runner" in command:
            name = command.replace(b"\0", b" ").decode()
            seen = self.seen.setdefault(name, command)
            if environment not in seen:
                self.seen[name] = seen + environment


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_key_is_left_behind(tmp_path: Path, tiny_model: Path, tiny_rows: Path) -> None:
    """Not in the home, the output, the records of any library at its loudest, tracebacks with variables, panels, or child processes."""
    canaries, home = Canaries(), write_speed(tmp_path / "my home")
    account = {"name": "ann", "type": "user", "orgs": [], "auth": {"accessToken": {"role": "write"}}}
    hub = Hub(repos=[REPO], accounts={canaries.hub: account})
    keys = {"hub": canaries.hub, "wrong": canaries.wrong, "passphrase": canaries.passphrase}
    keys |= {str(number): key for number, key in enumerate(canaries.kept)}
    command = [sys.executable, "-m", "tests.e2e.canary_run", str(home), str(tiny_model), str(tiny_rows)]
    assert len(canaries.all) >= 40
    try:
        with serve_hub(hub) as address:
            environment = {
                **{name: value for name, value in os.environ.items() if name not in HUB_TOKENS},
                **canaries.environment,
                "HF_ENDPOINT": address,
                "PEFT_STUDIO_CONNECTORS": "huggingface",
            }
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            with Watcher(process.pid) as watcher:
                said, _ = process.communicate(json.dumps(keys).encode(), timeout=300)
    finally:
        end_processes_of(home)
    assert process.returncode == 0, said[-3000:].decode(errors="replace")

    places = {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    places |= {"what was said": said, "what the hub was asked": "\n".join(hub.asked).encode(), **watcher.seen}
    assert len(watcher.seen) >= 3  # two agents at least, and the chat
    assert any(name.startswith("vault") for name in places)
    assert search(places, canaries.all) == []
    planted = base64.b64encode(b"x" + canaries.kept[1].encode())
    assert search({"a place": planted}, canaries.all) == [f"key {canaries.all.index(canaries.kept[1])} in a place"]
