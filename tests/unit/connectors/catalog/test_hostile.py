"""Forty connectors that do everything wrong, and what the others notice: nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog import catalog as catalog_module
from peft_studio.connectors.catalog import lane as lane_module
from peft_studio.core.errors import BadConnector, ConnectorError, NotAuthorised, Unavailable
from peft_studio.core.ports import Page, Query
from tests.unit.connectors.catalog import hostile

DEADLINE_S = 1.0
SLOW = {"loops", "loops-stubbornly", "prints", "waits", "init-waits"}


@pytest.fixture(autouse=True)
def let_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(catalog_module, "LOAD_S", DEADLINE_S)
    hostile.OVER.clear()
    yield
    hostile.OVER.set()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path, sources=hostile.sources(), redact=lambda text: text.replace("planted-key", "***"))


def search(catalog: Catalog, name: str) -> Page:
    return catalog.call(name, Page, lambda connector: connector.search(Query(text="x")), deadline_s=DEADLINE_S)


def test_there_are_forty() -> None:
    """So many ways."""
    assert len(hostile.CLASSES) + len(hostile.UNLOADABLE) >= 40


def test_each_ends_with_a_typed_error_in_time_and_is_marked(catalog: Catalog) -> None:
    """All at once; none is late by more than the machine is slow, and each is named with its reason."""
    sound = [info.name for info in catalog.list_infos()]
    assert set(sound) == {*hostile.CLASSES, "good"}
    assert set(catalog.refused) == set(hostile.UNLOADABLE)
    began = time.monotonic()

    pending = {name: catalog.start(name, Page, lambda c: c.search(Query()), deadline_s=DEADLINE_S) for name in sound}
    errors: dict[str, ConnectorError] = {}
    for name, call in pending.items():
        try:
            page = call.result()
        except ConnectorError as exc:
            errors[name] = exc
        else:
            assert (name, page.models) == ("good", (hostile.MODEL,))

    assert time.monotonic() - began < DEADLINE_S * len(SLOW)  # not one after the other
    assert set(errors) == set(hostile.CLASSES)
    assert {name for name, exc in errors.items() if isinstance(exc, Unavailable)} == SLOW
    assert isinstance(errors.pop("typed-error"), NotAuthorised)
    assert all(exc.hint and exc.platform == name for name, exc in errors.items())
    assert all(not catalog.health(name).ok and catalog.health(name).reason for name in errors)
    assert "planted-key" not in "".join(map(str, errors.values()))
    assert catalog.health("good").ok


def test_a_loop_in_python_is_ended(catalog: Catalog) -> None:
    """After its deadline no thread of it is left, stubborn ones included, so that nothing eats the machine."""
    for name in ("loops", "loops-stubbornly", "prints"):
        with pytest.raises(Unavailable):
            search(catalog, name)
        until = time.monotonic() + 60
        while any(thread.name == f"connector-{name}" for thread in threading.enumerate()):
            assert time.monotonic() < until


def test_a_loop_that_nobody_waits_for_is_ended_too(catalog: Catalog) -> None:
    """Its caller has gone on with the others; the call still has its deadline, and the mark comes by itself."""
    call = catalog.start("loops", Page, lambda connector: connector.search(Query()), deadline_s=DEADLINE_S)
    with pytest.raises(Unavailable, match="not waited for any longer"):
        call.result(0.0)

    until = time.monotonic() + 60
    while catalog.health("loops").ok or any(thread.name == "connector-loops" for thread in threading.enumerate()):
        assert time.monotonic() < until


def test_one_that_waits_in_c_fills_its_own_lane_and_no_other(catalog: Catalog) -> None:
    """With all its places taken it is refused at once; the good one answers as ever."""
    calls = [
        catalog.start("waits", Page, lambda c: c.search(Query()), deadline_s=30) for _ in range(lane_module.PLACES)
    ]
    began = time.monotonic()

    with pytest.raises(Unavailable, match="have not come back"):
        search(catalog, "waits")
    assert search(catalog, "good").models
    assert time.monotonic() - began < 15  # half of what the others wait

    hostile.OVER.set()
    with pytest.raises(BadConnector, match="NoneType"):
        calls[0].result()


def test_one_that_recovers_is_well_again(catalog: Catalog) -> None:
    """The mark goes with the next good call."""
    with pytest.raises(BadConnector):
        catalog.call("good", Page, lambda c: c.connect(), deadline_s=DEADLINE_S)
    assert "gave a Account where a Page belongs" in catalog.health("good").reason
    search(catalog, "good")
    assert catalog.health("good").ok


def test_an_error_of_its_own_is_passed_on_without_keys(catalog: Catalog) -> None:
    """Typed, so it is no fault; message and hint are redacted."""
    with pytest.raises(NotAuthorised) as caught:
        search(catalog, "typed-error")
    assert (caught.value.message, caught.value.hint) == ("*** is wrong", "***")
    assert catalog.health("typed-error").ok
