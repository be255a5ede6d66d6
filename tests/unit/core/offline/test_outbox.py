"""What is put in is on disk, sealed, once, in order, and bounded."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from peft_studio.core.errors import OutboxError, OutboxFull
from peft_studio.core.offline import outbox as outbox_module
from peft_studio.core.offline.delivery import deliver_line
from peft_studio.core.offline.entry import Entry, Operation, Receipt
from peft_studio.core.offline.outbox import Outbox
from tests.unit.core.offline.conftest import KEY, OTHER_KEY, Clock, Obedient


def test_what_is_put_in_is_there_for_another_process(outbox: Outbox) -> None:
    """Fields as given, order as put, a made id where none was given."""
    first = outbox.put("hub:a", "upload", {"path": "x", "n": [1, None, "é"]}, id="e1", holds=True)
    outbox.put("hub:b", "log", 3)
    again = Outbox(outbox.folder, key=KEY)

    entries = again.entries()
    again.file.close()

    assert [(e.target, e.kind, e.payload, e.holds, e.state) for e in entries] == [
        ("hub:a", "upload", {"path": "x", "n": [1, None, "é"]}, True, "waiting"), ("hub:b", "log", 3, False, "waiting"),
    ]  # fmt: skip
    assert entries[0] == first
    assert entries[1].id.startswith("e-")
    assert again.find("e1") == first


def test_an_outbox_that_was_never_used_is_empty_and_makes_no_folder(outbox: Outbox) -> None:
    """Looking leaves no trace."""
    assert (outbox.entries(), outbox.counts(), outbox.heads(), outbox.receipts()) == ([], {}, {}, [])
    assert outbox.find("e") is None
    assert not outbox.folder.exists()


def test_nothing_of_a_payload_is_readable_on_disk(outbox: Outbox) -> None:
    """Payload, reason and receipt; and the files are this user's alone."""
    from peft_studio.core.offline.sender import SendRefused

    outbox.put("hub:a", "upload", {"title": "CANARY-payload"})
    outbox.put("hub:b", "upload", {"title": "CANARY-payload"})
    outbox.put("hub:c", "upload", {"title": "CANARY-payload"})
    deliver_line(outbox, "hub:a", Obedient(SendRefused("CANARY-reason")))
    deliver_line(outbox, "hub:b", Obedient("CANARY-receipt"))
    files = [path for path in outbox.folder.rglob("*") if path.is_file()]

    assert outbox.receipts()[0].text == "CANARY-receipt"
    assert outbox.entries(state="dead")[0].reason == "CANARY-reason"
    assert not [path for path in files if b"CANARY" in path.read_bytes()]
    assert oct(outbox.folder.stat().st_mode & 0o777) == "0o700"
    assert oct(outbox.file.path.stat().st_mode & 0o777) == "0o600"


def test_the_same_id_is_queued_once(outbox: Outbox) -> None:
    """While it waits, after it was sent, and after it was dropped; another operation under it is refused."""
    first = outbox.put("hub:a", "log", {"step": 1}, id="e1")

    assert outbox.put("hub:a", "log", {"step": 1}, id="e1") == first
    for other in (("hub:b", "log", {"step": 1}), ("hub:a", "upload", {"step": 1}), ("hub:a", "log", {"step": 2})):
        with pytest.raises(OutboxError, match="already stands for another"):
            outbox.put(*other, id="e1")
    deliver_line(outbox, "hub:a", Obedient("there"))
    late = outbox.put("hub:a", "log", {"step": 1}, id="e1")

    assert isinstance(late, Receipt)
    assert (late.text, late.was_sent) == ("there", True)
    assert outbox.entries() == []


def test_all_or_none_are_put(outbox: Outbox) -> None:
    """One that cannot be leaves none of its call."""
    outbox.put("hub:a", "log", 1, id="e1")
    with pytest.raises(OutboxError):
        outbox.put_all([Operation("hub:a", "log", 2), Operation("hub:b", "log", 1, id="e1")])
    with pytest.raises(OutboxError, match="no JSON"):
        outbox.put_all([Operation("hub:a", "log", 2), Operation("hub:a", "log", {1, 2})])
    with pytest.raises(OutboxError, match="no JSON"):
        outbox.put("hub:a", "log", float("nan"))

    assert [e.payload for e in outbox.entries()] == [1]


def test_it_says_when_it_is_full(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, by bytes, by one payload; a known id still answers; and there is room again when something has left."""
    monkeypatch.setattr(outbox_module, "MOST_ENTRIES", 2)
    outbox.put("hub:a", "log", 1, id="e1")
    outbox.put("hub:a", "log", 2)
    with pytest.raises(OutboxFull, match="takes 2 operations"):
        outbox.put("hub:a", "log", 3)
    assert isinstance(outbox.put("hub:a", "log", 1, id="e1"), Entry)
    deliver_line(outbox, "hub:a", Obedient())
    outbox.put("hub:a", "log", 4)
    monkeypatch.setattr(outbox_module, "MOST_BYTES", 100)
    with pytest.raises(OutboxFull):
        outbox.put("hub:a", "log", "x" * 200)
    with pytest.raises(OutboxError, match="path and digest"):
        outbox.put("hub:a", "log", "x" * 2**20)

    assert [e.payload for e in outbox.entries()] == [4]


def test_what_another_key_sealed_stays_and_holds_its_line(outbox: Outbox) -> None:
    """It is neither lost nor sent nor passed by; with the key as an older one it goes out first."""
    outbox.put("hub:a", "log", "old")
    anew = Outbox(outbox.folder, key=OTHER_KEY)
    anew.put("hub:a", "log", "new")
    sender = Obedient()

    stopped = deliver_line(anew, "hub:a", sender)
    unread = anew.entries()[0]
    both = Outbox(outbox.folder, key=OTHER_KEY, older_keys=[KEY])
    deliver_line(both, "hub:a", sender)
    anew.file.close(), both.file.close()

    assert "a key that is not here" in stopped.why
    assert (unread.readable, unread.payload) == (False, None)
    assert sender.payloads == ["old", "new"]


def test_a_payload_that_was_changed_or_moved_is_never_sent(outbox: Outbox) -> None:
    """It goes to the dead letters and the others go on."""
    for n in range(3):
        outbox.put("hub:a", "log", n, id=f"e{n}")
    with sqlite3.connect(outbox.file.path) as db:
        db.execute("UPDATE entries SET payload = (SELECT payload FROM entries WHERE id = 'e2') WHERE id = 'e0'")
    db.close()
    sender = Obedient()

    deliver_line(outbox, "hub:a", sender)

    assert sender.payloads == [1, 2]
    assert [(e.id, e.state, e.readable) for e in outbox.entries()] == [("e0", "dead", False)]


def test_receipts_are_bounded(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest are kept."""
    monkeypatch.setattr(outbox_module, "RECEIPTS", 3)
    for n in range(5):
        outbox.put("hub:a", "log", n, id=f"e{n}")
        deliver_line(outbox, "hub:a", Obedient())

    assert [receipt.id for receipt in outbox.receipts()] == ["e4", "e3", "e2"]


def test_counts_and_heads_open_nothing(outbox: Outbox, clock: Clock) -> None:
    """Also under another key."""
    outbox.put("hub:a", "upload", 1)
    outbox.put("hub:a", "upload", 2)
    outbox.put("hub:b", "log", 3)
    other = Outbox(outbox.folder, key=OTHER_KEY, now=clock)

    assert other.counts() == {("hub:a", "upload", "waiting"): 2, ("hub:b", "log", "waiting"): 1}
    assert other.heads() == {"hub:a": 0.0, "hub:b": 0.0}
    other.file.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_uses_a_connection_of_its_own(outbox: Outbox) -> None:
    """Both go on, and what the child put in is there."""
    outbox.put("hub:a", "log", "parent")
    child = os.fork()
    if not child:
        outbox.put("hub:a", "log", "child")
        os._exit(0)
    os.waitpid(child, 0)
    outbox.put("hub:a", "log", "parent again")

    assert [e.payload for e in outbox.entries()] == ["parent", "child", "parent again"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_in_the_middle_of_a_transaction_undoes_nothing(outbox: Outbox) -> None:
    """Neither a child that closes, nor one that uses the outbox, touches what its parent is at."""
    outbox.put("hub:a", "log", 1)
    outbox.file._open().execute("BEGIN IMMEDIATE")
    outbox.file._open().execute("UPDATE entries SET tries = 7")
    for child_does in (outbox.file.close, outbox.file._open):
        child = os.fork()
        if not child:
            child_does()
            gc.collect()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert outbox.file.path.with_name("outbox.sqlite-journal").exists()
    outbox.file._open().execute("COMMIT")

    assert [e.tries for e in outbox.entries()] == [7]


@pytest.mark.parametrize(
    "fields", [("", "log", ""), ("a\0b", "log", ""), ("a", "", ""), ("a", "log", "e\n1"), ("a" * 301, "log", "")]
)
def test_names_are_names(outbox: Outbox, fields: tuple[str, str, str]) -> None:
    """What is shown on a line, and bound into a seal, is printable and short."""
    target, kind, entry_id = fields
    with pytest.raises(OutboxError, match="is no name"):
        outbox.put(target, kind, 1, id=entry_id)


def test_a_folder_that_was_deleted_is_made_again(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is put in afterwards is on disk; so it is when the process has gone to another folder."""
    monkeypatch.chdir(tmp_path)
    here = Outbox(Path("here"), key=KEY)
    here.put("hub:a", "log", 1)
    shutil.rmtree(tmp_path / "here")
    assert here.entries() == []
    here.put("hub:a", "log", 2)
    monkeypatch.chdir("/")
    deliver_line(here, "hub:b", Obedient())
    here.put("hub:a", "log", 3)

    assert [e.payload for e in Outbox(tmp_path / "here", key=KEY).entries()] == [2, 3]
    here.file.close()


def test_a_damaged_file_is_said_and_left_alone(tmp_path: Path) -> None:
    """It is not an index: nothing is made anew over it."""
    folder = tmp_path / "outbox"
    folder.mkdir()
    (folder / "outbox.sqlite").write_bytes(b"this is no database at all, and longer than a header of one" * 100)
    before = (folder / "outbox.sqlite").read_bytes()
    outbox = Outbox(folder, key=KEY)

    with pytest.raises(OutboxError, match="damaged"):
        outbox.put("hub:a", "log", 1)
    with pytest.raises(OutboxError, match="damaged"):
        outbox.entries()
    assert (folder / "outbox.sqlite").read_bytes() == before


def test_a_newer_file_is_said_and_left_alone(outbox: Outbox) -> None:
    """What a newer version has written is not touched."""
    outbox.put("hub:a", "log", 1)
    outbox.file.close()
    with sqlite3.connect(outbox.file.path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(OutboxError, match="newer"):
        outbox.put("hub:a", "log", 2)


def test_an_interrupt_leaves_nothing_half_done(outbox: Outbox) -> None:
    """In the middle of a transaction, or so that it stayed open: what was put in afterwards is there, for others too."""
    outbox.put("hub:a", "log", 1)

    def interrupted() -> None:
        with outbox.file.writing() as db:
            db.execute("DELETE FROM entries")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    outbox.file._open().execute("BEGIN IMMEDIATE")
    outbox.file._open().execute("DELETE FROM entries")
    outbox.put("hub:a", "log", 2)
    other = Outbox(outbox.folder, key=KEY)

    assert [e.payload for e in other.entries()] == [1, 2]
    other.file.close()


def test_a_full_disk_takes_nothing_and_loses_nothing(outbox: Outbox) -> None:
    """The error says so, the operation was not queued, and the rest is as it was."""
    outbox.put("hub:a", "log", 1)
    with outbox.file.writing() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    outbox.file._open().execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(OutboxError, match="full"):
        outbox.put("hub:a", "log", "x" * 100_000)
    assert [e.payload for e in outbox.entries()] == [1]
    outbox.put("hub:a", "log", 2)
