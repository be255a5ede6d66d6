"""What a registry must do, as tests. The author of a connector inherits :class:`RegistryConformance` and runs pytest.

    class TestMine(RegistryConformance):
        INFO, ADDRESS_VARIABLE = INFO, "MINE_URL"
        FINDS, KNOWN, MISSING = Query(text="tiny"), "ann/tiny", "ann/nothing"

        @pytest.fixture(autouse=True)
        def platform(self, monkeypatch):
            with serve_my_emulator() as address:
                monkeypatch.setenv("MINE_URL", address)
                yield

``docs/connectors.md`` builds one from the beginning.
"""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from peft_studio.connectors.base import door, patience, transfer
from peft_studio.connectors.base.clauses import find_class_faults, find_info_faults
from peft_studio.connectors.base.misbehaving import FAULTS, Misbehaving, serve_misbehaving
from peft_studio.connectors.base.publish_clauses import PublishClauses
from peft_studio.core.errors import ConnectorError, NotAuthorised, NotFound, Unavailable
from peft_studio.core.ports import Account, ConnectorInfo, Fetched, Keys, ModelDetails, ModelFile, Order, Page, Query
from peft_studio.core.redact import Secret

VERBS = ("connect", "search", "get_model", "fetch_artifact", "upload_artifact")  # the last two where they are there


class RegistryConformance(PublishClauses):
    """Inherit it, name these, and see to it that a platform answers at the address that ``ADDRESS_VARIABLE`` holds.

    ``FINDS`` finds at least two models there, one of which is ``KNOWN``; ``MISSING`` is an id that it does not have. ``KEYS`` are
    accepted there, ``WRONG_KEYS`` are not; None where the platform takes none. One that can be published to names ``PUBLISHES_TO``, too, and
    ``SETTINGS`` where it needs some: see :class:`peft_studio.connectors.base.publish_clauses.PublishClauses`.
    """

    INFO: ClassVar[ConnectorInfo]
    ADDRESS_VARIABLE: ClassVar[str]
    FINDS: ClassVar[Query]
    KNOWN: ClassVar[str]
    MISSING: ClassVar[str]
    KEYS: ClassVar[dict[str, str]] = {}
    WRONG_KEYS: ClassVar[dict[str, str] | None] = None

    @pytest.fixture(autouse=True)
    def _without_waiting(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.folder = tmp_path / "files"
        monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.0)
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

    def test_search_finds(self, connector: Any) -> None:
        """Sound models of this registry, each once, no more than the limit."""
        found = Page.model_validate(connector.search(self.FINDS))
        assert self.KNOWN in {model.id for model in found.models}
        assert {model.registry for model in found.models} == {self.INFO.name}
        assert len(Page.model_validate(connector.search(self.FINDS.model_copy(update={"limit": 1}))).models) == 1

    def test_pages_go_on_where_the_last_one_ended(self, connector: Any) -> None:
        """One at a time gives what all at once gives, in the same order, where there are pages at all."""
        whole = [model.id for model in connector.search(self.FINDS).models]
        one = self.FINDS.model_copy(update={"limit": 1})
        page = connector.search(one)
        seen = [model.id for model in page.models]
        while page.next_cursor is not None and len(seen) <= len(whole):
            page = connector.search(one.model_copy(update={"cursor": page.next_cursor}))
            seen += [model.id for model in page.models]
        assert seen == whole[: len(seen)]
        assert len(seen) in (1, len(whole))

    def test_finding_nothing_is_no_error(self, connector: Any) -> None:
        """An empty page without a next one."""
        found = connector.search(self.FINDS.model_copy(update={"text": "zzqx no such model zzqx"}))
        assert (found.models, found.next_cursor) == ((), None)

    def test_details_are_those_of_the_model(self, connector: Any) -> None:
        """Sound, and of the id that was asked for."""
        assert ModelDetails.model_validate(connector.get_model(self.KNOWN)).model.id == self.KNOWN

    def test_a_download_is_what_was_promised(self, connector: Any) -> None:
        """Each file under its name, of the size and digest that the details say, and nothing beside them."""
        if not hasattr(connector, "fetch_artifact") or self.INFO.local:
            pytest.skip("it gives no files")
        details = connector.get_model(self.KNOWN)
        assert details.files
        Fetched.model_validate(
            connector.fetch_artifact(Order(self.KNOWN, details.files, self.folder, details.revision))
        )
        for file in details.files:
            content = (self.folder / file.path).read_bytes()
            assert file.size_bytes in (None, len(content))
            assert file.sha256 in (None, hashlib.sha256(content).hexdigest())
        assert sum(path.is_file() for path in self.folder.rglob("*")) == len(details.files)

    @pytest.mark.parametrize("ending", ["", "/../../x", "?a=b", "#c", "%2e%2e"])
    def test_a_missing_model_is_not_found(self, connector: Any, ending: str) -> None:
        """Whatever signs its name has."""
        with pytest.raises(NotFound) as caught:
            connector.get_model(self.MISSING + ending)
        assert caught.value.hint

    def test_threads_may_share_it(self, connector: Any) -> None:
        """Four at once find what one finds."""
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(connector.search(self.FINDS))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert found == [connector.search(self.FINDS)] * 4

    def test_it_does_not_show_its_keys(self, connector: Any) -> None:
        """Neither printed nor in its attributes' texts."""
        shown = f"{connector!r} {connector} {vars(connector) if hasattr(connector, '__dict__') else ''}"
        assert not [value for value in self.KEYS.values() if value in shown]

    @pytest.mark.parametrize("verb", VERBS)
    def test_nobody_there_is_unavailable(self, verb: str, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        """A closed port."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            monkeypatch.setenv(self.ADDRESS_VARIABLE, f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(Unavailable) as caught:
            self.call(load(self.INFO)(keys), verb)
        assert caught.value.hint

    @pytest.mark.parametrize("verb", VERBS)
    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_fault_is_a_typed_error(self, fault: str, verb: str, broken: Misbehaving, keys: Keys) -> None:
        """With a next step and without the keys; never an empty page that looks like an answer."""
        broken.fault = fault
        with pytest.raises(ConnectorError) as caught:
            self.call(load(self.INFO)(keys), verb)
        assert caught.value.hint
        assert caught.value.platform == self.INFO.name
        assert not [value for value in self.KEYS.values() if value in str(caught.value)]

    def test_keys_do_not_follow_to_another_host(self, broken: Misbehaving, keys: Keys) -> None:
        """A redirect is followed without them, or not at all."""
        elsewhere = Misbehaving("no JSON")
        with serve_misbehaving(elsewhere) as address:
            broken.fault = address.replace("127.0.0.1", "localhost")
            for verb in (verb for verb in VERBS if hasattr(load(self.INFO), verb)):
                with pytest.raises(ConnectorError):
                    self.call(load(self.INFO)(keys), verb)
        assert not [value for value in self.KEYS.values() if value in "".join(elsewhere.seen)]

    def call(self, connector: Any, verb: str) -> Any:
        """A verb with what this suite has for it."""
        if not hasattr(connector, verb):
            pytest.skip(f"it has no {verb}")
        file = ModelFile(path="model.safetensors", size_bytes=3, sha256="0" * 64)
        order = Order(self.KNOWN, (file,), self.folder, "main")
        given: dict[str, Callable[[], tuple[Any, ...]]] = {
            "connect": lambda: (),
            "search": lambda: (self.FINDS,),
            "get_model": lambda: (self.KNOWN,),
            "fetch_artifact": lambda: (order,),
            "upload_artifact": lambda: (self.make_upload(), lambda sent: None),
        }
        return getattr(connector, verb)(*given[verb]())


def load(info: ConnectorInfo) -> Any:
    """The connector's class."""
    import importlib

    module, _, name = info.connector.partition(":")
    return getattr(importlib.import_module(module), name)
