"""The boot script as text: readable, without secrets, the same for the same plan, and folded it unfolds to itself."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest

from peft_studio.core.errors import SpecError
from peft_studio.core.ports.rental import SelfEnd
from peft_studio.core.services.rent.boot import BEFORE_THE_PACKAGE, NODE, BootPlan, build_boot, fold

END = SelfEnd(url="https://provider.invalid/v2/pods/${POD_ID}", key="POD_API_KEY")
PLAN = BootPlan(run="r-20261126-101010-abcdef", port=8443, door="tls", lifetime_s=7200, self_end=END)


def test_it_is_a_script_that_bash_understands() -> None:
    """Every placeholder is filled, bash takes it, and the same plan gives the same bytes."""
    script = build_boot(PLAN)
    assert script.startswith("#!/usr/bin/env bash\n")
    assert not re.search(r"^#@", script, flags=re.MULTILINE)
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)
    assert build_boot(PLAN) == script
    assert "PS_LIFETIME_S=7200\n" in script
    assert 'PS_END_URL="https://provider.invalid/v2/pods/${POD_ID:-}"\n' in script


def test_it_holds_what_runs_there_word_for_word() -> None:
    """Files stand in it as they are; the code that ends the machine has no single quote, for it stands between two."""
    script = build_boot(PLAN)
    for name in BEFORE_THE_PACKAGE:
        assert (NODE / name).read_text(encoding="utf-8") in script
    end = (NODE / "end.py").read_text(encoding="utf-8")
    assert end in script
    assert "'" not in end


def test_the_brake_starts_before_anything_is_written_or_installed() -> None:
    """Brake 2, then files, then brake 1, then the door, then what training needs."""
    script = build_boot(PLAN)
    order = ["\nlifetime &\n", "cat > boot/", "\nkeep brake_1 &\n", "\nkeep door &\n", "node.install"]
    places = [script.index(mark) for mark in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("door", "bind"), [("tls", "0.0.0.0"), ("proxy", "0.0.0.0"), ("tunnel", "127.0.0.1")]
)  # fmt: skip
def test_only_what_is_encrypted_on_the_way_can_be_reached(door: str, bind: str) -> None:
    """At the end of a tunnel the door stands on loopback alone."""
    assert f"PS_BIND={bind}\n" in build_boot(replace(PLAN, door=door))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"run": "a b"}, {"run": "../x"}, {"run": "$(id)"}, {"port": 0}, {"lifetime_s": 60}, {"lease_s": 0},
        {"self_end": SelfEnd(url='https://x.invalid/"; rm -rf /', key="KEY")}, {"self_end": SelfEnd(url="https://x.invalid/$(id)", key="KEY")},
        {"self_end": SelfEnd(url="https://x.invalid/${A}", key="KEY; id")}, {"self_end": SelfEnd(url="file:///etc/passwd", key="KEY")},
        {"self_end": SelfEnd(url="https://x.invalid/", key="KEY", method="DELETE; id")},
    ],
)  # fmt: skip
def test_what_a_script_could_not_hold_safely_is_refused(changes: dict[str, object]) -> None:
    """No value becomes a command, and no plan leaves a run without time to be saved."""
    with pytest.raises(SpecError):
        build_boot(replace(PLAN, **changes))  # type: ignore[arg-type]


def test_folded_it_unfolds_to_itself() -> None:
    """For providers that take little: pieces below their limits, and the very same script out of them."""
    script = build_boot(PLAN)
    command, environment = fold(script)
    assert len(command) < 500
    assert len(environment) <= 10
    assert all(len(piece) <= 3000 for piece in environment.values())
    shown = command.replace("exec bash /tmp/peft-studio-boot.sh", "").replace("> /tmp/peft-studio-boot.sh;", "")
    done = subprocess.run(
        ["sh", "-c", shown], env={**environment, "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    assert done.stdout.decode() == script
