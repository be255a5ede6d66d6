"""A connector in a process of its own: the same to whoever calls it, and gone when it must be."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from peft_studio.connectors.catalog import Catalog, process
from peft_studio.connectors.catalog import catalog as catalog_module
from peft_studio.core.errors import BadConnector, Cancelled, Refused, SoldOut, StudioError, Unavailable
from peft_studio.core.ports import (
    Account,
    Capability,
    Fetched,
    Instance,
    Instances,
    Invoice,
    Offer,
    OfferQuery,
    Offers,
    Order,
    Page,
    Progress,
    Published,
    Query,
    Rent,
    Role,
    Upload,
    UploadFile,
)
from peft_studio.core.ports.rental import Way
from peft_studio.core.redact import REDACTOR, Secret
from tests.unit.connectors.catalog import apart, polite
from tests.unit.connectors.catalog.apart import hosts_of

ROOT = Path(__file__).resolve().parents[4]
DEADLINE_S = 60.0  # far: what is tried here is not speed


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """With connectors that do as they should, each in a process that the tests of this module share."""
    home = tmp_path_factory.mktemp("home")
    return Catalog(home, sources=[polite.source("shelf"), polite.source("yard")], redact=REDACTOR.text)


@pytest.fixture
def one(tmp_path: Path) -> Callable[..., Catalog]:
    """A catalog of its own with some of the hostile."""
    gc.collect()  # the catalog of a test before, which an exception may have kept
    wait_until(lambda: not hosts_of("healthy", "good"))
    return lambda *names: Catalog(
        tmp_path, sources=[apart.source(name) for name in names], redact=lambda text: text.replace("planted-key", "***")
    )


def wait_until(true: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until


def search(catalog: Catalog, name: str, deadline_s: float = DEADLINE_S) -> Page:
    return catalog.call(name, Page, lambda connector: connector.search(Query(text="x")), deadline_s=deadline_s)


def test_it_is_registered_without_being_imported_here(catalog: Catalog) -> None:
    """What it says of itself came from its process; its class was never loaded into this one."""
    assert {info.name: info.roles for info in catalog.list_infos()} == {
        "shelf": (Role.REGISTRY,),
        "yard": (Role.COMPUTE,),
    }
    assert catalog.refused == {}
    assert len(hosts_of("shelf")) == 1
    assert catalog.find_reason("yard", Capability.LOGS) == "It shows no logs at all."
    assert catalog.find_reason("shelf", Capability.SEARCH) == ""


def test_keys_come_with_the_call_and_stand_nowhere_else(catalog: Catalog) -> None:
    """The key in use is the one attached last; neither the command line nor the environment of the process has it."""
    for key in ("first-planted-key", "second-planted-key"):
        catalog.attach("shelf", {"token": Secret(key)})
        assert catalog.call("shelf", Account, lambda shelf: shelf.connect(), deadline_s=DEADLINE_S).name == key[::-1]
        (host,) = hosts_of("shelf")
        assert key not in json.dumps([host.cmdline(), host.environ()])


def test_values_cross_whole(catalog: Catalog) -> None:
    """A query arrives as it was sent, and a page with all its fields comes back equal to the one that was made there."""
    text = 'ü\u2028"\\ end'
    found = catalog.call(
        "shelf", Page, lambda shelf: shelf.search(query=Query(text=text, limit=3)), deadline_s=DEADLINE_S
    )
    assert found == polite.make_page(text, 3)
    assert found.models[0].updated_at == datetime(2026, 1, 2, tzinfo=UTC)


def test_it_is_asked_as_any_other(catalog: Catalog) -> None:
    """Its info and what it lacks are there; a verb that it has not is not there, and one called wrongly is its caller's error."""
    seen: list[Any] = []

    def look(shelf: Any) -> Account:
        seen.extend([shelf.info.name, dict(shelf.unsupported), hasattr(shelf, "list_offers"), hasattr(shelf, "way")])
        with pytest.raises(TypeError, match=r"search takes \(query\)"):
            shelf.search(Query(), 3)
        return shelf.connect()

    catalog.call("shelf", Account, look, deadline_s=DEADLINE_S)
    assert seen == ["shelf", {}, False, False]


def test_a_download_tells_how_far_it_is_and_can_be_stopped(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Progress arrives here, a file where it was ordered though the path was relative; and a stop set here ends it there."""
    monkeypatch.chdir(tmp_path)
    told: list[Progress] = []
    order = Order("a/b", (), Path("into"), revision="r1", tell=told.append)

    came = catalog.call("shelf", Fetched, lambda shelf: shelf.fetch_artifact(order), deadline_s=DEADLINE_S)

    assert (came.size_bytes, (tmp_path / "into" / "r1").read_text()) == (7, "a/b")
    assert told[-1] == Progress(7, 7, None, "the last")
    endless = replace(order, model="endless", tell=lambda progress: order.stop.set())
    with pytest.raises(Cancelled, match="called off"):
        catalog.call("shelf", Fetched, lambda shelf: shelf.fetch_artifact(endless), deadline_s=DEADLINE_S)
    wait_until(lambda: len(hosts_of("shelf")) == 1)


def test_an_upload_is_called_off_by_whoever_hears_of_it(catalog: Catalog, tmp_path: Path) -> None:
    """What the listener raises here is raised there, typed, and comes back; without it the upload arrives."""
    upload = Upload(
        id="1", repo="me/x", files=(UploadFile(path="a", source=str(tmp_path / "a"), size_bytes=3, sha256="0" * 64),), settings={"k": [1, None]}
    )  # fmt: skip

    def refuse(sent: int) -> None:
        raise Refused("Enough.", hint="Later.", platform="shelf")

    def push(report: Callable[[int], None]) -> Published:
        return catalog.call(
            "shelf", Published, lambda shelf: shelf.upload_artifact(upload, report), deadline_s=DEADLINE_S
        )

    heard: list[int] = []
    (tmp_path / "a").write_text("abc")
    assert push(heard.append).use == (str(tmp_path / "a"), "{'k': [1, None]}")
    assert heard[-1] == 3
    (tmp_path / "a").write_text("endless")
    with pytest.raises(Refused, match="Enough") as caught:
        push(refuse)
    assert (caught.value.hint, caught.value.platform) == ("Later.", "shelf")


def test_a_provider_of_machines_crosses_with_all_it_takes(catalog: Catalog) -> None:
    """Money as Decimal, secrets as secrets, times with their zone, its way; one sold out is SoldOut here, too."""

    def ask(kind: type[Any], work: Callable[[Any], Any]) -> Any:
        return catalog.call("yard", kind, work, deadline_s=DEADLINE_S)

    offer: Offer = ask(Offers, lambda yard: yard.list_offers(OfferQuery(gpu="A100"))).offers[0]
    assert (offer.usd_per_hour, offer.gpu) == (Decimal("1.10"), "A100")
    rent = Rent(
        "ps-1", offer, "#!/bin/sh", 40, ports=(8443,), settings={"A": "b"}, secrets={"TOKEN": Secret("planted-key")},
        max_usd_per_hour=Decimal("2.5"), host_key=Secret("planted-host-key"),
    )  # fmt: skip
    made: Instance = ask(Instance, lambda yard: yard.submit_job(rent))
    assert made.label == "ps-1"
    assert made.reason == "planted-key backwards is yek-detnalp; at most 2.5; tsoh"
    assert made.addresses == {8443: "host:1"}
    assert ask(Way, lambda yard: yard.way) == Way(door="tls")
    assert ask(Instances, lambda yard: yard.list_instances()).instances == (polite.MACHINE,)
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert ask(Invoice, lambda yard: yard.list_charges(since)).charges[0].begin_at == since
    with pytest.raises(SoldOut) as caught:
        ask(Instance, lambda yard: yard.submit_job(replace(rent, disk_gib=1)))
    error = caught.value
    assert (error.platform, error.status, error.retry_after_s, error.may_have_happened) == ("yard", 409, 2.5, True)


def test_junk_is_junk_from_there_too(one: Callable[..., Catalog]) -> None:
    """A false kind, a false field, an error of its own, each in the words of one that runs here, without keys."""
    catalog = one("gives-text", "page-wrong-number", "assertion", "typed-error", "exits")
    said = {}
    for name in ("gives-text", "page-wrong-number", "assertion", "typed-error", "exits"):
        with pytest.raises(StudioError) as caught:
            search(catalog, name)
        said[name] = str(caught.value)
        assert isinstance(caught.value, BadConnector) == (name != "typed-error")

    assert "it gave a str where a Page belongs" in said["gives-text"]
    assert "models.0.downloads: " in said["page-wrong-number"]
    assert "The connector assertion failed: AssertionError: ***\n" in said["assertion"]
    assert said["typed-error"] == "*** is wrong\n  → ***"
    assert "failed: SystemExit: 1" in said["exits"]


def test_one_that_holds_the_interpreter_is_killed_and_comes_again(one: Callable[..., Catalog]) -> None:
    """At its deadline, and nothing of it is left; the mark stands until a good call, which has a process anew."""
    catalog = one("holds-pattern")
    catalog.list_infos()
    (first,) = hosts_of("holds-pattern")

    with pytest.raises(Unavailable, match="has not answered within 1 s"):
        search(catalog, "holds-pattern", 1.0)

    wait_until(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE)
    assert "has not answered" in catalog.health("holds-pattern").reason
    assert catalog.call("holds-pattern", Account, lambda c: c.connect(), deadline_s=DEADLINE_S).name == "me"
    assert [host.pid for host in hosts_of("holds-pattern")] != [first.pid]
    assert catalog.health("holds-pattern").ok


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("exits-hard", "ended by itself, with exit code 3"),
        ("crashes", "ended by itself, by SIGSEGV"),
        ("eats-at-once", "failed: MemoryError"),
    ],
)
def test_how_it_ended_is_said(name: str, says: str, one: Callable[..., Catalog]) -> None:
    """In a sentence, as the mark and as the error; and the next call works."""
    catalog = one(name)
    with pytest.raises(BadConnector, match=says):
        search(catalog, name)
    assert says in catalog.health(name).reason
    assert catalog.call(name, Account, lambda connector: connector.connect(), deadline_s=DEADLINE_S).name == "me"


def test_one_that_cannot_even_say_who_it_is_is_refused(
    one: Callable[..., Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its package holds the interpreter, or takes it down, as it is imported; the good one beside it is there."""
    monkeypatch.setattr(catalog_module, "LOAD_S", 2.0)
    names = ("load-holds", "load-crashes", "load-none")
    catalog = one(*names, "healthy")

    assert [info.name for info in catalog.list_infos()] == ["healthy"]
    said = [catalog.refused[name].message for name in names]
    assert "passed its deadline" in said[0]
    assert "by SIGSEGV" in said[1]
    assert "leads to a NoneType" in said[2]
    wait_until(lambda: not hosts_of("load-holds"))


def test_one_that_eats_memory_is_ended(one: Callable[..., Catalog], monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets no more than its share, whether the system counts that or we do."""
    monkeypatch.setattr(process, "MEMORY_BYTES", 200 * 2**20)
    with pytest.raises(BadConnector, match=r"MemoryError|took more than 0\.195312 GiB of memory"):
        search(one("eats"), "eats")


def test_what_it_prints_goes_to_the_log(
    one: Callable[..., Catalog], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without keys, not without end, and not into the notebook."""
    catalog = one("floods-lines")
    with caplog.at_level(logging.INFO, logger="peft_studio.connectors"), pytest.raises(Unavailable):
        search(catalog, "floods-lines", 1.0)

    assert "floods-lines printed: a line with ***" in caplog.text
    assert "planted" not in caplog.text
    assert len(caplog.text) < 200_000
    assert capfd.readouterr() == ("", "")


def test_a_variable_set_in_a_cell_is_seen(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its process had begun before."""
    catalog.list_infos()
    monkeypatch.setenv("SHELF_SIGN", "set later")
    assert catalog.call("shelf", Account, lambda shelf: shelf.connect(), deadline_s=DEADLINE_S).note == "set later"
    monkeypatch.delenv("SHELF_SIGN")
    assert catalog.call("shelf", Account, lambda shelf: shelf.connect(), deadline_s=DEADLINE_S).note == ""


def test_disabling_ends_its_process(one: Callable[..., Catalog]) -> None:
    """Nobody will ask it; nor is a catalog that is gone survived by its processes."""
    catalog = one("healthy", "good")
    catalog.list_infos()
    assert (len(hosts_of("healthy")), len(hosts_of("good"))) == (1, 1)

    catalog.disable("healthy")
    wait_until(lambda: not hosts_of("healthy"))
    del catalog
    wait_until(lambda: not hosts_of("good"))


PARENT = """
import os, sys, threading
from pathlib import Path
from peft_studio.connectors.catalog import Catalog, process
from peft_studio.core.ports import Page, Query
from tests.unit.connectors.catalog import apart
process.HUNG_S = 1.0
names = ["healthy", "holds-number"]
catalog = Catalog(Path(sys.argv[1]), sources=[apart.source(name) for name in names])
catalog.list_infos()
catalog.start("holds-number", Page, lambda one: one.search(Query()), deadline_s=600)
catalog.call("healthy", Page, lambda one: one.search(Query()), deadline_s=60)
print("ready", flush=True)
threading.Event().wait()
"""


def test_its_processes_end_with_a_kernel_that_is_killed(tmp_path: Path) -> None:
    """By SIGKILL, while one waits for questions and another holds its interpreter in C and can notice nothing."""
    kernel = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert kernel.stdout is not None
    assert kernel.stdout.readline() == "ready\n"
    hosts = psutil.Process(kernel.pid).children()
    assert len(hosts) == 2

    os.kill(kernel.pid, signal.SIGKILL)
    kernel.wait()

    _, alive = psutil.wait_procs(hosts, timeout=30)
    assert alive == []


@pytest.mark.parametrize(
    ("way", "says"), [("exits", "exit code 3"), ("is-killed", "SIGKILL"), ("crashes", "SIGSEGV"), ("stays", "")]
)
def test_what_it_started_ends_with_it(way: str, says: str, one: Callable[..., Catalog], tmp_path: Path) -> None:
    """Also when it ends by itself, or for lack of memory: its programs, and its forks, which hold the pipe for its answers."""
    catalog, told = one("leaves"), tmp_path / "told"

    def ask() -> Page:
        return catalog.call("leaves", Page, lambda leaves: leaves.search(Query(text=f"{way} {told}")), deadline_s=60)

    if says:
        with pytest.raises(BadConnector, match=says):
            ask()
    else:
        assert ask().models
    family = [int(pid) for pid in told.read_text().split()]
    if not says:
        assert [pid for pid in family if psutil.pid_exists(pid)] == family
        catalog.disable("leaves")
    wait_until(lambda: not any(_lives(pid) for pid in family))


def _lives(pid: int) -> bool:
    """A zombie does not: nobody may be there to take its status."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_it_started_ends_with_a_kernel_that_is_killed(tmp_path: Path) -> None:
    """Nobody is left to end it from outside."""
    parent = PARENT.replace('["healthy", "holds-number"]', '["healthy", "leaves"]').replace("holds-number", "leaves")
    parent = parent.replace("Query()), deadline_s=600", "Query(text=f'stays {sys.argv[1]}/told')), deadline_s=600")
    parent = parent.replace("deadline_s=600)", "deadline_s=600).result()")
    kernel = subprocess.Popen(
        [sys.executable, "-c", parent, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert kernel.stdout is not None
    assert kernel.stdout.readline() == "ready\n"
    family = [int(pid) for pid in (tmp_path / "told").read_text().split()]
    assert all(map(_lives, family))
    os.kill(kernel.pid, signal.SIGKILL)
    kernel.wait()
    wait_until(lambda: not any(map(_lives, family)))


def test_a_fork_of_the_kernel_has_processes_of_its_own(one: Callable[..., Catalog]) -> None:
    """It neither speaks into its parent's pipes nor ends its parent's processes as it ends."""
    catalog = one("healthy")
    search(catalog, "healthy")
    (host,) = hosts_of("healthy")
    child = os.fork()
    if child == 0:
        done = threading.Event()
        ours: list[int] = []

        def ask() -> None:
            search(catalog, "healthy")
            ours.extend(host.pid for host in hosts_of("healthy"))
            done.set()

        threading.Thread(target=ask, daemon=True).start()
        os._exit(0 if done.wait(60) and ours and host.pid not in ours else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert search(catalog, "healthy").models
    assert [one.pid for one in hosts_of("healthy")] == [host.pid]
