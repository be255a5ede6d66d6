"""The records on disk: whole after whatever happened, one worker at a time, and no name used twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.label import build_label, read_label
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.services.rent.store import Bill, Reading, StaleWorker, Stray
from tests.unit.core.services.rent.world import HOME, LABEL, RUN, at, intent, made

OTHER = build_label(HOME, RUN, 2, ends_at_s=2e9)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """One in a folder that does not exist yet."""
    made = SqliteStore(tmp_path / "home" / "rent")
    yield made
    made.close()


def test_what_is_put_comes_back_equal_in_another_process(store: SqliteStore) -> None:
    """Prices, moments and offers, to the last digit."""
    record = store.put(intent(budget_usd=Decimal("3.10"), not_before=at(7)))
    claimed = store.claim(LABEL, "me", at(1), hold_s=90)
    assert claimed == record
    written = store.write(record, "me", made(usd_per_hour=Decimal("0.123456789")))
    other = SqliteStore(store.path.parent)

    assert other.find(LABEL) == written
    assert other.list_open() == [written]
    assert other.home_tag() == store.home_tag()
    other.close()


def test_one_worker_at_a_time_and_no_stale_one_writes(store: SqliteStore) -> None:
    """A hold that ran out is another's to take; who had it finds its write refused."""
    record = store.put(intent())
    assert store.claim(LABEL, "a", at(0), hold_s=90)
    assert store.claim(LABEL, "b", at(89), hold_s=90) is None
    assert store.claim(LABEL, "b", at(91), hold_s=90)
    with pytest.raises(StaleWorker):
        store.write(record, "a", made())
    written = store.write(record, "b", made())
    with pytest.raises(StaleWorker):
        store.write(record, "b", made())
    assert store.write(written, "b", made(rank=3)).edition == 2


def test_a_hold_outlives_no_reboot_and_no_clock_that_was_set(store: SqliteStore) -> None:
    """Whoever held it is gone with its boot; a hold far in the future is none."""
    store.put(intent())
    assert store.claim(LABEL, "a", at(1000), hold_s=90)
    assert store.claim(LABEL, "b", at(5, boot="c", wall=1.79e9 + 1050), hold_s=90) is None
    assert store.claim(LABEL, "b", at(5, boot="c", wall=1.79e9), hold_s=90)


def test_no_label_and_no_attempt_is_used_twice(store: SqliteStore) -> None:
    """Not after the first was closed, either."""
    record = store.put(intent())
    store.claim(LABEL, "a", at(1), hold_s=90)
    with pytest.raises(ValueError, match="on record"):
        store.put(intent())
    with pytest.raises(ValueError, match="on record"):
        store.put(intent(label=build_label(HOME, RUN, 1, ends_at_s=5)))
    with pytest.raises(ValueError, match="on record"):
        store.write(record, "a", made(closed_at=at(9)), following=intent())
    assert store.list_open() == [record]  # the close did not happen without what follows it


def test_what_follows_is_there_as_soon_as_the_first_is_closed(store: SqliteStore) -> None:
    """One transaction."""
    record = store.put(intent())
    store.claim(LABEL, "a", at(1), hold_s=90)
    store.write(record, "a", made(closed_at=at(9)), following=intent(label=OTHER, attempt=2))

    assert [one.label for one in store.list_open()] == [OTHER]
    assert [one.label for one in store.list_run(RUN)] == [LABEL, OTHER]


def test_nothing_follows_what_was_said_to_end_meanwhile(store: SqliteStore) -> None:
    """The word came after the worker had read the record."""
    record = store.put(intent())
    store.claim(LABEL, "a", at(1), hold_s=90)
    store.wish_end(LABEL, "stopped")
    store.write(record, "a", made(closed_at=at(9)), following=intent(label=OTHER, attempt=2))

    assert store.list_open() == []


def test_wishes_need_no_hold_and_are_not_lost_to_a_workers_write(store: SqliteStore) -> None:
    """A person says stop while a worker is at it."""
    record = store.put(intent())
    store.claim(LABEL, "a", at(1), hold_s=90)
    store.wish_end(LABEL, "stopped")
    store.wish_end(LABEL, "idle")
    store.wish_price(LABEL, Decimal(4))
    store.wish_moved(LABEL, at(5), ready=True)
    store.wish_moved(LABEL, at(6))
    store.write(record, "a", made())
    found = store.find(LABEL)

    assert found is not None
    wish = found.wish
    assert (wish.end, wish.price_ok, wish.moved_at, wish.ready) == ("stopped", Decimal(4), at(6), True)


def test_what_comes_to_light_again_is_open_again(store: SqliteStore) -> None:
    """And its end has to be proven anew."""
    record = store.put(intent())
    store.claim(LABEL, "a", at(1), hold_s=90)
    store.write(record, "a", made(leaving="stopped", absent=(at(3), at(99)), closed_at=at(99)))
    store.reopen(LABEL, "ghost", at(200))
    store.reopen(LABEL, "ghost", at(300))
    (found,) = store.list_open()

    assert (found.done.leaving, found.done.absent, found.done.doubt_at) == ("ghost", (), at(200))


def test_meter_bills_strays_and_cap_come_back(store: SqliteStore) -> None:
    """What the ledger and the list of strays are made of."""
    store.put(intent())
    reading = Reading(LABEL, "i1", 1.79e9, "all", Decimal("2.10"))
    store.add_readings([reading])
    store.add_bills([Bill("i1", 1, 2, Decimal(1))])
    store.add_bills([Bill("i1", 1, 2, Decimal(3))])
    stray = Stray("alpha", "x", "ps-?", None, ours=False)
    store.set_strays("alpha", [stray])
    store.set_strays("beta", [])
    store.set_month_cap(Decimal("99.5"))

    assert store.read_meter(RUN) == store.read_meter() == [reading]
    assert store.read_meter("another") == []
    assert store.read_bills() == [Bill("i1", 1, 2, Decimal(3))]
    assert store.list_strays() == [stray]
    assert store.month_cap() == Decimal("99.5")


def test_a_damaged_file_says_what_to_do(store: SqliteStore) -> None:
    """It names the file, and where machines can be ended by hand."""
    store.put(intent())
    store.close()
    store.path.write_bytes(b"x" * 5000)
    with pytest.raises(RentError) as caught:
        store.list_open()
    assert str(store.path) in caught.value.message
    assert "ps-" in caught.value.hint


WRITER = """
import os, sys
from dataclasses import replace
from pathlib import Path
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.services.rent.label import build_label
from tests.unit.core.services.rent.world import HOME, at, intent, made
store = SqliteStore(Path(sys.argv[1]))
for number in range(10_000):
    run = f"r-{number}"
    record = store.put(intent(run_id=run, label=build_label(HOME, run, 1, ends_at_s=9)))
    os.write(1, f"put {record.label}\\n".encode())
    store.claim(record.label, "w", at(1), hold_s=90)
    store.write(record, "w", made())
    os.write(1, f"made {record.label}\\n".encode())
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """A real process, killed while it writes: every record that it said was written is there, whole."""
    for killed_after in (3, 8):
        folder = tmp_path / str(killed_after)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
        )
        assert writer.stdout is not None
        said = [writer.stdout.readline().split() for _ in range(killed_after)]
        writer.send_signal(signal.SIGKILL)
        said += [line.split() for line in writer.stdout.read().splitlines() if line.count(" ")]
        writer.wait()
        store = SqliteStore(folder)
        for word, label in said:
            found = store.find(label)
            assert found is not None
            assert word == "put" or found.done.made == "made"
        store.close()


def test_a_label_says_whose_it_is_and_when_it_ends() -> None:
    """What no home of this version wrote says nothing."""
    label = build_label("12ab9f", RUN, 12, ends_at_s=1_795_000_000.9)
    tag = read_label(label)

    assert tag is not None
    assert (tag.home, tag.run_id, tag.attempt, tag.ends_at_s) == ("12ab9f", RUN, 12, 1_795_000_000)
    assert len(label) <= 60
    assert [read_label(text) for text in ("", "ps-", "ps-x", f"{label}x", label.upper(), "my-server")] == [None] * 6
    with pytest.raises(ValueError, match="no label"):
        build_label(HOME, "Not A Run", 1, ends_at_s=0)
