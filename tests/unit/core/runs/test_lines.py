"""Lines of a log from events of every kind."""

from __future__ import annotations

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.lines import build_lines, shows


def test_warnings_and_the_failure_are_lines_between_those_that_were_said() -> None:
    """Each keeps its event's number and time; what says nothing is left out."""
    events = [
        ev.Logged(level="debug", text="Reading", seq=1, at=1.0),
        ev.PhaseEntered(phase="training", seq=2),
        ev.Warned(code="spike", step=7, message="The loss jumped.", hint="Lower the rate.", seq=3, at=3.0),
        ev.Finished(state="failed", failure=ev.Failure(code="out_of_memory", message="No room."), seq=4, at=4.0),
    ]

    assert [(line.seq, line.at, line.level, line.text) for line in build_lines(events)] == [
        (1, 1.0, "debug", "Reading"),
        (3, 3.0, "warning", "step 7: The loss jumped. Lower the rate."),
        (4, 4.0, "error", "failed: No room."),
    ]


def test_level_and_text_narrow() -> None:
    """A level takes what is at least as bad; a text is found in any case."""
    line = ev.Logged(level="warning", text="Row 117 is cut")

    assert shows(line, "info", "row")
    assert shows(line, "warning", "")
    assert not shows(line, "error", "")
    assert not shows(line, "debug", "row 118")
