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
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from peft_studio.connectors.base import transfer
from peft_studio.connectors.base.connector_conformance import ConnectorConformance, load
from peft_studio.connectors.base.publish_clauses import PublishClauses
from peft_studio.core.errors import NotFound
from peft_studio.core.ports import Fetched, ModelDetails, ModelFile, Order, Page, Query

__all__ = ["RegistryConformance", "load"]


class RegistryConformance(PublishClauses, ConnectorConformance):
    """Inherit it, name these and those of :class:`ConnectorConformance`, and see to it that a platform answers.

    ``FINDS`` finds at least two models there, one of which is ``KNOWN``; ``MISSING`` is an id that it does not have. One that can
    be published to names ``PUBLISHES_TO``, too, and ``SETTINGS`` where it needs some: see :class:`PublishClauses`.
    """

    VERBS = ("connect", "search", "get_model", "fetch_artifact", "upload_artifact")  # the last two where they are there
    FINDS: ClassVar[Query]
    KNOWN: ClassVar[str]
    MISSING: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.folder = tmp_path / "files"
        monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.0)

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

    def call(self, connector: Any, verb: str) -> Any:
        """A verb with what this suite has for it."""
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
