"""What a machine of Lambda's is told for its first start."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from peft_studio.connectors.lambdalabs.user_data import build_user_data
from peft_studio.core.ports.offers import Offer
from peft_studio.core.ports.rental import Rent
from peft_studio.core.redact import Secret


def build_rent(**more: Any) -> Rent:
    offer = Offer(
        id="gpu_1x@us-west-1", provider="lambdalabs", gpu="H100", gpu_count=1, usd_per_hour=Decimal(4),
        seen_at=datetime.now(UTC),
    )  # fmt: skip
    return Rent(**{"label": "ps-run-1", "offer": offer, "boot": "echo up\n", "disk_gib": 40, **more})


def files_of(rent: Rent) -> dict[str, str]:
    config = yaml.safe_load(build_user_data(rent))
    return {file["path"]: file["content"] for file in config["write_files"]}


def test_it_is_a_cloud_config_with_the_script_as_it_is() -> None:
    """YAML reads it; a person finds the boot script in it, and runs it by one line."""
    boot = "#!/bin/bash\n# ünï: 'quoted' \"twice\" \\ $HOME\n\ttrue\n"
    text = build_user_data(build_rent(boot=boot))
    assert text.startswith("#cloud-config\n")
    assert files_of(build_rent(boot=boot))["/opt/peft-studio/boot.sh"] == boot
    assert "By hand, as root: bash /opt/peft-studio/start.sh" in files_of(build_rent())["/opt/peft-studio/start.sh"]
    assert "ssh_keys" not in yaml.safe_load(text)


def test_the_host_key_is_placed_whole() -> None:
    """OpenSSH wants the last line end, too."""
    config = yaml.safe_load(build_user_data(build_rent(host_key=Secret("-----BEGIN\nabc\n-----END"))))
    assert config["ssh_keys"] == {"ed25519_private": "-----BEGIN\nabc\n-----END\n"}


def test_the_start_is_a_script_with_the_settings_and_without_secrets(tmp_path: Path) -> None:
    """bash runs it as it stands; the boot script itself looks for secrets, so that its brakes need not wait for them."""
    rent = build_rent(
        boot='echo "$A|$B|$HOME|${TOKEN:-none}"\n', settings={"A": "it's", "B": "$(x)"}, secrets={"TOKEN": Secret("hush-hush")}
    )  # fmt: skip
    assert "hush-hush" not in build_user_data(rent)
    assert "TOKEN" not in files_of(rent)["/opt/peft-studio/start.sh"]
    for name, content in files_of(rent).items():
        (tmp_path / Path(name).name).write_text(content)
    ran = subprocess.run(["bash", tmp_path / "start.sh"], env={}, capture_output=True, text=True, timeout=20)
    assert (ran.stdout, ran.stderr) == ("it's|$(x)|/root|none\n", "")


def test_it_starts_whenever_its_machine_does_and_once(tmp_path: Path) -> None:
    """cloud-init runs it at each start, and at the first by another way, too: whichever comes second finds it running."""
    files = files_of(build_rent(boot="echo up\nread -r line\n"))
    assert "bash /opt/peft-studio/start.sh" in files["/var/lib/cloud/scripts/per-boot/peft-studio"]
    for name, content in files.items():
        (tmp_path / Path(name).name).write_text(content)
    command = ["bash", str(tmp_path / "start.sh")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        assert first.stdout.readline() == "up\n"
        assert subprocess.run(command, capture_output=True, timeout=20, check=True).stdout == b""
    again = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    assert again.stdout == b"up\n"
