"""The Connect panel: every platform and how it stands, where keys are kept, the network, and what waits for it.

A key that is typed comes in as a command, is made a ``Secret`` at once, and goes into the vault: no section, reply or code has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from peft_studio.core.errors import StudioError, VaultError
from peft_studio.core.ports.platform import ConnectorInfo
from peft_studio.core.redact import Secret
from peft_studio.widgets._code import opening
from peft_studio.widgets._connect_source import ConnectSource
from peft_studio.widgets._connect_view import build_snapshot, view_problem
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._feed import ERRORS
from peft_studio.widgets._host import Host
from peft_studio.widgets._looker import Looker

_FIRST_S, _QUIET_S = 0.05, 1.0


class ConnectContent(Content):
    """All platforms of the studio's catalog."""

    module = "connect"
    interval_s = _FIRST_S

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._source = ConnectSource(studio)
        self._looker = Looker(self._source.look, name="connect")
        self._did = ""  # the last thing done here, as Python

    def __repr__(self) -> str:
        return "ConnectPanel()"

    def sections(self) -> dict[str, Any]:
        """Platforms as they were last read; reading goes on beside it. The network as it is."""
        self.interval_s = _QUIET_S  # where reading fails, too
        self._looker.again(due=self._source.is_due)
        found = self._source.sections
        if not found:
            self.interval_s = _FIRST_S
            return {}
        code = f"{opening(self._studio.home)}{self._did}studio.connections()"
        return {**found, "network": self._source.network(), "code": code}

    def snapshot_html(self) -> str:
        """Platforms and how they stand."""
        self._source.look()
        found = self._source.sections
        return build_snapshot(found["platforms"], found["tier"], found["outbox"]["summary"])

    def close(self) -> None:
        """End the reading thread."""
        self._looker.close()

    # -- platforms ----------------------------------------------------------------------------------------------

    @command
    def connect(
        self, platform: str, values: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None
    ) -> bool:
        """Prove keys with a real call, then keep them. False where that failed: why stands on the card.

        Args:
            values: What was typed, by field.
            env: Variables of the environment to take, by field: only those that the platform's fields name.
        """
        info = self._studio._catalog.get_info(platform)
        given = {name: Secret(text.strip()) for name, text in (values or {}).items() if text.strip()}
        given |= _read_environment(info, env or {})
        with self._trying(platform, f"studio.connect({platform!r})\n"):
            # What the terminal would ask for is not asked here: nobody sits at the kernel's input.
            self._studio._connections.connect(platform, given)
        return platform not in self._source.problems

    @command
    def test(self, platform: str) -> bool:
        """Ask a connected platform again; as :meth:`connect`."""
        with self._trying(platform, ""):
            self._studio._connections.check(platform)
        return platform not in self._source.problems

    @command
    def disconnect(self, platform: str) -> None:
        """Forget a platform's keys. The page has asked before."""
        self._source.problems.pop(platform, None)
        self._do(lambda: self._studio.disconnect(platform), f"studio.disconnect({platform!r})\n")

    @command
    def disable(self, platform: str) -> None:
        """Hide a platform."""
        self._do(lambda: self._studio.disable(platform), f"studio.disable({platform!r})\n")

    @command
    def enable(self, platform: str) -> None:
        """Show a platform again."""
        self._do(lambda: self._studio.enable(platform), f"studio.enable({platform!r})\n")
        if not self._studio._catalog.is_enabled(platform):
            raise StudioError(
                "PEFT_STUDIO_CONNECTORS leaves it out.", hint="Add its name there, or unset the variable, and restart."
            )

    # -- where keys are kept ------------------------------------------------------------------------------------

    @command
    def unlock(self, passphrase: str) -> bool:
        """Open the vault; True, so that the page can tell it from a refusal."""
        self._do(lambda: self._studio.vault.unlock(_secret(passphrase)))
        return True

    @command
    def guard(self, passphrase: str) -> bool:
        """Have a passphrase guard the keys where no keystore does; True as above. Keys that waited in this process move in."""
        self._do(lambda: self._studio.vault.move("passphrase", _secret(passphrase)))
        return True

    # -- network and outbox -------------------------------------------------------------------------------------

    @command
    def go_offline(self) -> None:
        """From now on nothing leaves this process."""
        self._set_offline(True)

    @command
    def go_online(self) -> None:
        """Find out again whether there is a network, now."""
        self._set_offline(None)
        self._studio._connectivity.check(at_once=True)

    @command
    def sync(self) -> str:
        """Send what waits; says what came of it."""
        try:
            return repr(self._studio.sync(timeout_s=30.0)).splitlines()[0]
        finally:
            self._source.look()

    @command
    def retry(self, entry_id: str) -> None:
        """Try an operation of the outbox again at once."""
        self._do(lambda: self._studio.outbox.retry(entry_id), f"studio.outbox.retry({entry_id!r})\n")

    @command
    def drop(self, entry_id: str) -> None:
        """Give an operation up for good. The page has asked before."""
        self._do(lambda: self._studio.outbox.drop(entry_id), f"studio.outbox.drop({entry_id!r})\n")

    def _set_offline(self, value: bool | None) -> None:
        self._studio.offline = value
        self._did = f"studio.offline = {value!r}\n"

    def _do(self, work: Callable[[], object], code: str = "") -> None:
        """Do something and read what has become of it, whether or not it went well."""
        try:
            work()
            self._did = code or self._did
        finally:
            self._source.look()

    @contextmanager
    def _trying(self, platform: str, code: str) -> Iterator[None]:
        """Keep what goes wrong with a platform on its card, until it goes well."""
        self._source.problems.pop(platform, None)
        try:
            yield
            self._did = code or self._did
        except StudioError as exc:
            ERRORS.append(exc)
            self._source.problems[platform] = view_problem(exc)
        finally:
            self._source.look()


def _secret(passphrase: str) -> Secret:
    if not passphrase:
        raise VaultError("No passphrase was given.", hint="Type it first.")
    return Secret(passphrase)


def _read_environment(info: ConnectorInfo, wanted: Mapping[str, str]) -> dict[str, Secret]:
    """Values of the variables that somebody said yes to. No other variable can be had in this way."""
    given = {}
    for field in info.keys:
        variable = wanted.get(field.name)
        if variable is None:
            continue
        if variable not in field.env or not os.environ.get(variable):
            raise StudioError(f"{variable} is not set.", hint="Type the value instead.")
        given[field.name] = Secret(os.environ[variable])
    return given
