"""What rented machines cost and which there are, in a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio._studio import spending
from peft_studio.cli import ending, main
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.record import Done, EndAsked
from tests.rent_home import RUN, RentHome
from tests.ui.write_run import build_spec


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


@pytest.mark.parametrize("watcher", ["asks in vain", "does nothing"])
def test_stopping_what_does_not_go_ends_with_the_alarm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, watcher: str
) -> None:
    """Its words are those of ``rentals``; the wait ends, with what goes on and how to see it."""
    monkeypatch.setattr(spending, "BEGIN_S", 3600.0)
    monkeypatch.setattr(ending, "PATIENCE_S", 0.0 if watcher == "does nothing" else 3600.0)
    rented = RentHome(tmp_path)
    folder = RunStore(tmp_path).create(build_spec())
    ago = read_now().later(-660)
    vain = Done(leaving="stopped", leaving_at=ago, ends=(EndAsked("x", 7, ago),), trouble="It says 500.")
    record = rented.rent(folder.id, ready=False, done=vain if watcher == "asks in vain" else None)
    mirror = Mirror(folder)
    mirror.say(ev.MachineRented(provider="runpod", label=record.label, gpu="", usd_per_hour="0.4"))
    mirror.say(ev.PhaseEntered(phase="booting"))
    mirror.close()
    with rented.watched():
        assert main(["--home", str(tmp_path), "stop", folder.id]) == 1
    said = capsys.readouterr().out
    if watcher == "asks in vain":
        assert "was to be gone 11 m ago, was asked to end 7 times" in said
        assert "It says 500. $9.60 a day." in said
    else:
        assert "is not proven gone after" in said
    assert "goes on asking for it" in said
    assert f"rentals --home {tmp_path}" in said
