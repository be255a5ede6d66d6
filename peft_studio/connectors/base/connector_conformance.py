"""What every connector must do, as tests, whatever its role. The suites of the roles inherit it.

It is held against a server in its platform's place that answers in every wrong way.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from peft_studio.connectors.base import door, patience
from peft_studio.connectors.base.clauses import find_class_faults, find_info_faults
from peft_studio.connectors.base.misbehaving import FAULTS, Misbehaving, serve_misbehaving
from peft_studio.core.errors import ConnectorError, NotAuthorised, Unavailable
from peft_studio.core.ports import Account, ConnectorInfo, Keys
from peft_studio.core.redact import Secret


class ConnectorConformance:
    """Name these, and see to it that a platform answers at the address that ``ADDRESS_VARIABLE`` holds.

    ``KEYS`` are accepted there, ``WRONG_KEYS`` are not; None where the platform takes none.
    """

    INFO: ClassVar[ConnectorInfo]
    ADDRESS_VARIABLE: ClassVar[str]
    KEYS: ClassVar[dict[str, str]] = {}
    WRONG_KEYS: ClassVar[dict[str, str] | None] = None
    VERBS: ClassVar[tuple[str, ...]] = ("connect",)
    NO_ERRORS: ClassVar[frozenset[tuple[str, str]]] = frozenset()  # a verb and what is no fault to it

    @pytest.fixture(autouse=True)
    def _without_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(door, "pause", lambda wait_s: None)
        monkeypatch.setattr(patience, "_paces", {})

    @pytest.fixture
    def keys(self) -> Keys:
        return {name: Secret(value) for name, value in self.KEYS.items()}

    @pytest.fixture
    def connector(self, keys: Keys) -> Any:
        return load(self.INFO)(keys)

    @pytest.fixture
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
        """A server in the platform's place; its fault is still to be chosen."""
        state = Misbehaving("trouble")
        with serve_misbehaving(state) as address:
            monkeypatch.setenv(self.ADDRESS_VARIABLE, address)
            yield state

    def test_info_is_sound(self) -> None:
        """Every field of the ConnectorInfo is as it must be."""
        assert find_info_faults(self.INFO.name, self.INFO) == []

    def test_class_keeps_every_clause(self) -> None:
        """Verbs, signatures, and a reason for everything it cannot do."""
        assert find_class_faults(self.INFO, load(self.INFO)) == []

    def test_naming_it_loads_nothing(self) -> None:
        """The package that holds the ConnectorInfo imports neither the connector nor an HTTP client."""
        package = self.INFO.connector.partition(":")[0].rpartition(".")[0]
        code = f"import sys, {package}; print([m for m in sys.modules if m in ('httpx', 'requests', {self.INFO.connector.partition(':')[0]!r})])"
        assert (
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
            == "[]"
        )

    def test_making_it_asks_nobody(self, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        """No connection is opened before a verb is called."""

        def refuse(*given: Any) -> None:
            raise AssertionError("a connection was opened")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        load(self.INFO)(keys)

    def test_connect_says_whose_keys_they_are(self, connector: Any) -> None:
        """An Account, and the same one again."""
        found = Account.model_validate(connector.connect())
        assert found.name
        assert connector.connect().name == found.name

    def test_wrong_keys_are_not_authorised(self) -> None:
        """With words that do not repeat them."""
        if self.WRONG_KEYS is None:
            pytest.skip("this platform takes no key")
        with pytest.raises(NotAuthorised) as caught:
            load(self.INFO)({name: Secret(value) for name, value in self.WRONG_KEYS.items()}).connect()
        assert caught.value.hint
        assert not [value for value in self.WRONG_KEYS.values() if value in str(caught.value)]

    def test_it_does_not_show_its_keys(self, connector: Any) -> None:
        """Neither printed nor in its attributes' texts."""
        shown = f"{connector!r} {connector} {vars(connector) if hasattr(connector, '__dict__') else ''}"
        assert not [value for value in self.KEYS.values() if value in shown]

    def test_nobody_there_is_unavailable(self, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        """A closed port, whatever is asked."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            monkeypatch.setenv(self.ADDRESS_VARIABLE, f"http://127.0.0.1:{listener.getsockname()[1]}")
        connector = load(self.INFO)(keys)
        for verb in self._verbs(connector):
            with pytest.raises(Unavailable) as caught:
                self.call(connector, verb)
            assert caught.value.hint, verb

    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_fault_is_a_typed_error(self, fault: str, broken: Misbehaving, keys: Keys) -> None:
        """Whatever is asked: with a next step and without the keys; never an empty page that looks like an answer."""
        broken.fault = fault
        for verb in self._verbs(load(self.INFO)(keys)):
            if (verb, fault) in self.NO_ERRORS:
                continue
            patience._paces.clear()
            with pytest.raises(ConnectorError) as caught:
                self.call(load(self.INFO)(keys), verb)
            assert caught.value.hint, verb
            assert caught.value.platform == self.INFO.name
            assert not [value for value in self.KEYS.values() if value in str(caught.value)]

    def test_keys_do_not_follow_to_another_host(self, broken: Misbehaving, keys: Keys) -> None:
        """A redirect is followed without them, or not at all."""
        elsewhere = Misbehaving("no JSON")
        with serve_misbehaving(elsewhere) as address:
            broken.fault = address.replace("127.0.0.1", "localhost")
            for verb in self._verbs(load(self.INFO)(keys)):
                with pytest.raises(ConnectorError):
                    self.call(load(self.INFO)(keys), verb)
        assert not [value for value in self.KEYS.values() if value in "".join(elsewhere.seen)]

    def call(self, connector: Any, verb: str) -> Any:
        """A verb with what this suite has for it."""
        return getattr(connector, verb)()

    def _verbs(self, connector: Any) -> list[str]:
        return [verb for verb in self.VERBS if hasattr(connector, verb)]


def load(info: ConnectorInfo) -> Any:
    """The connector's class."""
    import importlib

    module, _, name = info.connector.partition(":")
    return getattr(importlib.import_module(module), name)
