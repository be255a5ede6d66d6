"""The catalog: found through entry points, checked clause by clause, loaded late, switched off and on."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.base.clauses import find_class_faults
from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog import sources as sources_module
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import BadConnector, Offline, StudioError, Unavailable
from peft_studio.core.ports import Account, Capability, ConnectorInfo, Page, Query, Role
from peft_studio.core.redact import Secret
from tests.unit.connectors.catalog.hostile import Good, make_info

ROOT = Path(__file__).resolve().parents[4]


def catalog_of(home: Path, *infos: ConnectorInfo) -> Catalog:
    return Catalog(home, sources=[Source(info.name, "test", lambda info=info: info) for info in infos])


def test_built_in_connectors_are_declared_like_any_other() -> None:
    """What the code falls back on is what pyproject.toml declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["entry-points"][sources_module.GROUP] == dict(sources_module.BUILT_IN)


def test_every_connector_folder_is_apart_and_without_http() -> None:
    """The import contract names every folder beside base, so that a new one is not forgotten."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    door = next(contract for contract in contracts if contract["id"] == "one-http-door")
    folders = {path.parent.name for path in (ROOT / "peft_studio" / "connectors").glob("*/__init__.py")}

    assert {
        name for name in folders - {"base"} if f"peft_studio.connectors.{name}" not in door["source_modules"]
    } == set()


def test_listing_loads_no_connector() -> None:
    """Names and titles are there; of the connectors' own modules none is, nor httpx."""
    code = (
        "import sys, tempfile; from pathlib import Path; from peft_studio.connectors.catalog import Catalog\n"
        "infos = Catalog(Path(tempfile.gettempdir()) / 'nowhere').list_infos()\n"
        "print(len(infos), [m for m in sys.modules if m == 'httpx' or m.startswith('peft_studio') and m.endswith(('.connector', '.api'))])"
    )
    env = {k: v for k, v in os.environ.items() if k != "PEFT_STUDIO_CONNECTORS"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout

    assert said.strip() == f"{len(sources_module.BUILT_IN)} []"


def test_a_call_is_made_with_the_keys_attached_last(tmp_path: Path) -> None:
    """A connector is made once for its keys, and anew for others."""
    catalog = catalog_of(tmp_path, Good.info)
    seen: list[Any] = []

    def look(connector: Good) -> Account:
        seen.append(connector)
        return connector.connect()

    for token in ("one", "two"):
        catalog.attach("good", {"token": Secret(token)})
        for _ in range(2):
            assert catalog.call("good", Account, look, deadline_s=5).name == "me"

    assert [one.keys["token"].reveal() for one in seen] == ["one", "one", "two", "two"]
    assert seen[0] is seen[1]
    assert seen[1] is not seen[2]


def test_a_gate_is_asked_before_a_call_and_told_how_it_ended(tmp_path: Path) -> None:
    """What it raises stands, and then nothing of the connector runs; an error of the platform is told, and raised all the same."""
    told: list[tuple[str, str | None]] = []
    shut: list[bool] = []

    def gate(info: ConnectorInfo) -> None:
        if shut:
            raise Offline(f"{info.title} needs the network.")

    catalog = Catalog(
        tmp_path, sources=[Source("good", "test", lambda: Good.info)], gate=gate,
        tell=lambda info, error: told.append((info.name, error.message if error else None)),
    )  # fmt: skip

    def fail(connector: Good) -> Account:
        raise Unavailable("No answer.", platform="good")

    catalog.call("good", Account, lambda one: one.connect(), deadline_s=5)
    with pytest.raises(Unavailable):
        catalog.call("good", Account, fail, deadline_s=5)
    shut.append(True)
    with pytest.raises(Offline):
        catalog.start("good", Account, fail, deadline_s=5)
    assert told == [("good", None), ("good", "No answer.")]


def test_disable_hides_and_lasts(tmp_path: Path) -> None:
    """Another process with the same home does not see it; enable brings it back."""
    first, second = catalog_of(tmp_path, Good.info), catalog_of(tmp_path, Good.info)

    first.disable("good")
    assert first.list_infos() == second.list_infos() == []
    assert [info.name for info in second.list_hidden()] == ["good"]
    second.enable("good")
    assert [info.name for info in first.list_infos(Role.REGISTRY)] == ["good"]
    assert first.list_infos(Role.COMPUTE) == first.list_hidden() == []
    with pytest.raises(StudioError, match="no connector 'god'") as caught:
        first.disable("god")
    assert "'good'" in caught.value.hint


def test_switches_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    """What was hidden does not come back by itself."""
    (tmp_path / "connectors.json").write_text("{")
    with pytest.raises(StudioError, match="nobody knows which connectors are disabled"):
        catalog_of(tmp_path, Good.info).list_infos()


def test_the_environment_narrows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only those named are shown, and a name that is not there is logged."""
    other = make_info("other")
    monkeypatch.setenv("PEFT_STUDIO_CONNECTORS", "other, lost")

    with caplog.at_level(logging.INFO, logger="peft_studio.connectors"):
        shown = catalog_of(tmp_path, Good.info, other).list_infos()

    assert [info.name for info in shown] == ["other"]
    assert "registered: good, other" in caplog.text
    assert "lost" in caplog.text


def test_a_name_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings a built-in's name is refused with the reason; ours stays."""
    from importlib import metadata

    monkeypatch.setattr(sources_module, "BUILT_IN", {"good": "tests.unit.connectors.catalog.hostile:Good"})
    entry = metadata.EntryPoint("good", "os:path", sources_module.GROUP)
    monkeypatch.setattr(sources_module.metadata, "entry_points", lambda group: [entry])

    found, taken = sources_module.find_sources()

    assert [source.package for source in found] == ["peft-studio"]
    assert "a name that peft-studio has" in taken["good"]


def test_a_third_partys_connector_has_a_place_for_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours have none, and run in this one."""
    from importlib import metadata

    entry = metadata.EntryPoint("shelf", "peft_studio_shelf:INFO", sources_module.GROUP)
    monkeypatch.setattr(sources_module.metadata, "entry_points", lambda group: [entry])

    places = {source.name: source.place for source in sources_module.find_sources()[0]}

    assert places == dict.fromkeys(sources_module.BUILT_IN, "") | {"shelf": "peft_studio_shelf:INFO"}


def test_every_wrong_field_of_an_info_is_named_at_once(tmp_path: Path) -> None:
    """A stranger's module that makes its ConnectorInfo wrong is refused with all its mistakes, without the values."""

    def load() -> ConnectorInfo:
        return ConnectorInfo(
            name="Bad Name", title="t" * 400, summary="s", roles=(), connector="nowhere", docs_url="http://x",  # type: ignore[arg-type]
            keys=({"name": "Token", "title": "t", "shape": "(", "env": ["low"]},), colour="blue",  # type: ignore[call-arg]
        )  # fmt: skip

    error = Catalog(tmp_path, sources=[Source("bad", "test", load)]).refused["bad"]

    for field in (
        "name",
        "title",
        "roles",
        "connector",
        "docs_url",
        "keys.0.name",
        "keys.0.shape",
        "keys.0.env.0",
        "colour",
    ):
        assert f"\n  - {field}: " in error.message
    assert "Bad Name" not in error.message


class Broken:
    """Breaks every clause of a class."""

    info = make_info("other")
    unsupported = {"download": "no", Capability.PUBLISH: "no", Capability.SEARCH: "It cannot do that."}  # noqa: RUF012

    def __init__(self, keys: Any, more: Any) -> None: ...
    def connect(self, now: bool) -> None: ...
    def search(self) -> None: ...
    async def get_model(self, model: str) -> None: ...


CLAUSES = [
    "Broken(keys) cannot be called", "`info` is not the ConnectorInfo", "'download' in `unsupported` is no Capability",
    "the reason for PUBLISH in `unsupported` is no sentence", "`connect` must take (self)", "it has `search` and says in `unsupported`",
    "`get_model` is async", "needs `fetch_artifact`, or a reason for DOWNLOAD",
]  # fmt: skip


def test_every_clause_that_a_class_breaks_is_named_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On its first use, all at once."""
    monkeypatch.setattr("tests.unit.connectors.catalog.hostile.Broken", Broken, raising=False)
    info = make_info("broken", connector="tests.unit.connectors.catalog.hostile:Broken")

    with pytest.raises(BadConnector) as caught:
        catalog_of(tmp_path, info).call("broken", Page, lambda c: c.search(Query()), deadline_s=5)

    assert [clause for clause in CLAUSES if clause not in caught.value.message] == []
    assert caught.value.message.count("\n  - ") == len(CLAUSES)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"search": None}, "`search` is missing or cannot be called"),
        ({"search": lambda self, query, more: None}, "`search` must take (self, query)"),
        ({"unsupported": None}, "`unsupported` is no mapping"),
        ({"unsupported": {}}, "needs `fetch_artifact`"),
        ({"info": None}, "`info` is not"),
    ],
)
def test_one_broken_clause_is_one_line(changes: dict[str, Any], says: str) -> None:
    """A class that breaks one clause, or a pair that stands and falls together, hears of that one."""
    faults = find_class_faults(Good.info, type("X", (Good,), changes))

    assert any(says in fault for fault in faults)
    assert len(faults) == (2 if changes.get("unsupported", 1) in (None, {}) else 1) + (
        changes.get("unsupported", 1) is None
    )


def test_a_search_that_yields_is_refused_and_the_good_one_passes() -> None:
    """A generator is no page; the good one breaks nothing."""

    def search(self: Any, query: Query) -> Any:
        yield Page(models=())

    assert find_class_faults(Good.info, type("X", (Good,), {"search": search})) == [
        "`search` is a generator where a value belongs"
    ]
    assert find_class_faults(Good.info, Good) == []
    assert find_class_faults(Good.info, 3) == [
        "tests.unit.connectors.catalog.hostile:Good is a int where a class belongs"
    ]
