"""Keys are kept by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio.core.errors import VaultError
from peft_studio.core.vault import Secret, Vault


def test_keys_come_and_go_by_name(tmp_path: Path) -> None:
    """What was set is got, what was removed is gone, data keys are not among the names."""
    vault = Vault(tmp_path / "vault")
    vault.set("wandb", Secret("one"))
    vault.set("huggingface", Secret("two"))
    vault.set("wandb", Secret("three"))
    key = vault.data_key("outbox")

    assert vault.names() == ["huggingface", "wandb"]
    assert vault.get("wandb") == Secret("three")
    assert vault.get("comet") is None
    assert len(key) == 32
    assert key == vault.data_key("outbox") != vault.data_key("chat")

    vault.remove("wandb")
    vault.remove("wandb")

    assert vault.names() == ["huggingface"]


@pytest.mark.parametrize("name", ["", "Caps", "a/b", "../x", "data-key:outbox", "a" * 65, "new\nline", "é"])
def test_names_are_plain(name: str, tmp_path: Path) -> None:
    """A name that could be taken for something else is refused without being quoted: it might be a key in the wrong place."""
    with pytest.raises(VaultError) as caught:
        Vault(tmp_path / "vault").get(name)

    assert not name or name not in str(caught.value)
