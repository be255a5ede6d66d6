"""A march of very many launches goes on where it was ended, and loses nothing that was found."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.simulator import march as marching
from tests.simulator.march import march, parts_of, plain, read
from tests.simulator.mutants import MUTANTS
from tests.simulator.play import play_seeds


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marching, "PART", 10)


def test_parts_are_the_same_ones_whatever_was_asked_for() -> None:
    """All seeds once each; a longer call finds the parts of a shorter one."""
    assert [seed for part in parts_of(range(3, 47)) for seed in part] == list(range(3, 47))
    assert set(parts_of(range(30))) <= set(parts_of(range(55)))


def test_a_march_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Half a line is no part; what is whole is not played again, and the figures are those of one march."""
    march(range(20), workers=1, kept=tmp_path, out=io.StringIO())
    (file,) = tmp_path.iterdir()
    whole = file.read_text()
    file.write_text(whole[: len(whole) * 3 // 4])
    said = io.StringIO()

    total = march(range(30), workers=1, kept=tmp_path, out=said)

    assert "10 launches were played before" in said.getvalue()
    whole_march = play_seeds(range(30))
    assert total.unowned_s == pytest.approx(whole_march.unowned_s)  # added up in another order
    total.unowned_s = whole_march.unowned_s
    total.without_brakes_s = whole_march.without_brakes_s
    assert plain(total) == plain(whole_march)
    assert {part for part, _ in read(file)} == {"0-10", "10-20", "20-30"}


def test_a_failure_is_told_as_it_comes_and_again(tmp_path: Path) -> None:
    """With the line that plays it again; also what falls over ends no march."""
    said = io.StringIO()
    with MUTANTS["next_attempt_takes_the_same_label"]():
        march(range(10), workers=1, kept=tmp_path, out=said)
    assert "BROKEN  the process goes on (ValueError)" in said.getvalue()
    assert "python -m tests.simulator --seed 4" in said.getvalue()
    again = io.StringIO()
    assert march(range(10), workers=1, kept=tmp_path, out=again).broken
    assert "--seed 4" in again.getvalue()


def test_changed_code_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another state of the code went through proves nothing of this one."""
    march(range(10), workers=1, kept=tmp_path, out=io.StringIO())
    monkeypatch.setattr(marching, "fingerprint", lambda: "another")
    said = io.StringIO()
    assert march(range(10), workers=1, kept=tmp_path, out=said).launches == 10
    assert "before" not in said.getvalue()
