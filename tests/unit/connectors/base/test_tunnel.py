"""A forwarded port whose other end hangs. How one serves on a real sshd stands in ``test_ssh.py``."""

from __future__ import annotations

import pytest

from peft_studio.connectors.base import tunnel
from peft_studio.core.errors import Unavailable


def test_a_machine_that_answers_and_starts_no_shell_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line stands and its keep-alives are answered, so ssh would wait for ever, and whoever follows the run with it."""
    monkeypatch.setattr(tunnel, "OPEN_S", 0.2)
    with pytest.raises(Unavailable, match="no answer"):
        tunnel.Tunnel(["sh", "-c", "exec sleep 60"], "ps-run-1", 8443, lambda code, said: Unavailable(said))
