"""Forty connectors that do everything wrong, each in a process of its own, all at once; and what the others notice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from peft_studio.connectors.catalog import Catalog, process
from peft_studio.connectors.catalog import catalog as catalog_module
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import ConnectorError, Unavailable
from peft_studio.core.ports import Page, Query
from tests.unit.connectors.catalog import apart, hostile

DEADLINE_S = 8.0
CALLS = 300
MORE_MS = {"ours": (10, 200), "healthy": (50, 1000)}  # median and 99th percentile, on a machine that others use, too
SOME = [
    "raises", "raises-base", "exits", "unprintable", "loops", "loops-stubbornly", "prints", "recurses", "waits", "gives-none", "gives-endless",
    "page-endless", "page-huge", "init-exits", "init-waits", "page-of-none", "memory",
]  # fmt: skip
WRONG = [*SOME, *apart.CLASSES]
UNLOADABLE = [name for name in (*hostile.UNLOADABLE, *apart.UNLOADABLE) if name not in apart.HUNG]


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """All of them, and two healthy ones in their midst: ours, which runs in this process, and a third party's."""
    monkeypatch.setattr(process, "START_S", 120.0)  # forty interpreters start at once
    monkeypatch.setattr(catalog_module, "START_S", 120.0)
    monkeypatch.setattr(catalog_module, "LOAD_S", 120.0)
    monkeypatch.setattr(process, "MEMORY_BYTES", 300 * 2**20)  # others want memory, too
    sources = [apart.source(name) for name in (*WRONG, *UNLOADABLE, "healthy")]
    return Catalog(tmp_path, sources=[*sources[:20], Source("ours", "test", lambda: OURS.info), *sources[20:]])


class OURS(hostile.Good):
    info = hostile.make_info("ours", connector=f"{__name__}:OURS")


def test_there_are_forty() -> None:
    """So many ways."""
    assert len(WRONG) + len(UNLOADABLE) >= 40


def measure(catalog: Catalog, name: str) -> tuple[float, float]:
    """Median and 99th percentile of a call, in milliseconds."""
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        assert catalog.call(name, Page, lambda one: one.search(Query()), deadline_s=60).models
        took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    return took[CALLS // 2], took[CALLS * 99 // 100]


@pytest.mark.slow
def test_each_is_marked_and_the_others_do_not_feel_it(catalog: Catalog) -> None:
    """Those that hold their interpreter, eat memory, crash or flood are named with a reason and gone; beside them calls take what they took alone.

    The bounds are wide, since machines are noisy. On threads of this process one that holds the interpreter would stop all of them.
    """
    assert {info.name for info in catalog.list_infos()} == {*WRONG, "healthy", "ours"}
    assert set(catalog.refused) == set(UNLOADABLE)
    alone = {name: measure(catalog, name) for name in ("ours", "healthy")}

    pending = {
        name: catalog.start(name, Page, lambda one: one.search(Query()), deadline_s=DEADLINE_S) for name in WRONG
    }
    beside = {name: measure(catalog, name) for name in ("ours", "healthy")}
    were_at_it = [name for name in ("holds-pattern", "loops", "floods-out") if not pending[name].done()]
    errors: dict[str, ConnectorError] = {}
    for name, call in pending.items():
        with pytest.raises(ConnectorError) as caught:
            call.result()
        errors[name] = caught.value

    assert len(were_at_it) == 3
    for name, (median_ms, slow_ms) in beside.items():
        assert median_ms < 5 * alone[name][0] + MORE_MS[name][0], (alone, beside)
        assert slow_ms < 10 * alone[name][1] + MORE_MS[name][1], (alone, beside)
    late = {name for name, error in errors.items() if isinstance(error, Unavailable)}
    hung = apart.HUNG & set(WRONG)
    assert hung <= late <= hung | apart.HUNG_OR_BROKEN
    assert all(not catalog.health(name).ok and len(catalog.health(name).reason.split()) > 3 for name in WRONG)
    assert catalog.health("ours").ok
    assert catalog.health("healthy").ok
    until = time.monotonic() + 30
    while apart.hosts_of(*hung):
        assert time.monotonic() < until
