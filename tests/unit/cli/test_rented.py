"""What rented machines cost and which there are, in a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio._studio import spending
from peft_studio.cli import main
from tests.rent_home import RUN, RentHome


def test_spend_and_its_cap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Totals, and the cap set, kept and taken away; nonsense is refused with a way on."""
    RentHome(tmp_path).rent(hours_ago=3, lasted_h=2)
    home = ["--home", str(tmp_path)]
    assert main([*home, "spend", "--cap", "50"]) == 0
    assert "Cap of the month $50" in capsys.readouterr().out
    assert main([*home, "spend"]) == 0
    said = capsys.readouterr().out
    assert "$0.80 estimated" in said
    assert "Nothing is on the meter. Cap of the month $50" in said
    assert main([*home, "spend", "--cap", "none"]) == 0
    assert "No cap for the month" in capsys.readouterr().out
    assert main([*home, "spend", "--cap", "plenty"]) == 1
    assert "no amount of dollars" in capsys.readouterr().err


def test_rentals_and_the_end_of_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list; an end is asked for once; what is not there is named."""
    monkeypatch.setattr(spending, "BEGIN_S", 3600.0)
    rented = RentHome(tmp_path)
    record = rented.rent()
    home = ["--home", str(tmp_path)]
    with rented.watched():
        assert main([*home, "rentals"]) == 0
        assert RUN in capsys.readouterr().out
        assert main([*home, "rentals", "--end", RUN]) == 0
        said = capsys.readouterr().out
        assert f"{record.label} is to be gone." in said
        assert "ending (as you said)" in said
        assert main([*home, "rentals", "--end", record.label]) == 0
        assert "It is to be gone already." in capsys.readouterr().out
        assert main([*home, "rentals", "--end", "another"]) == 1
    assert "No machine 'another'" in capsys.readouterr().err
