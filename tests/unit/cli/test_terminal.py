"""Lines that fit, and a block that replaces itself."""

from __future__ import annotations

import io

import pytest

from peft_studio.cli.terminal import Terminal, cells, fit, flow


class Screen(io.StringIO):
    """A terminal's side of standard output."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "41")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("NO_COLOR", "1")
    return Terminal(Screen())


def written(terminal: Terminal) -> str:
    assert isinstance(terminal.out, Screen)
    return terminal.out.getvalue()


@pytest.mark.parametrize(("text", "width"), [("loss", 4), ("日本", 4), ("e\u0301", 1), ("", 0)])
def test_cells(text: str, width: int) -> None:
    """Wide characters take two columns, combining ones none."""
    assert cells(text) == width


def test_fit_cuts_across_spans() -> None:
    """A line is cut to the width, over all its parts, with an ellipsis; a line that fits is left as it is."""
    line = [("Training", "accent"), ("  step 12 of 300", "")]

    assert fit(line, 40) == line
    assert fit(line, 12) == [("Training", "accent"), ("  s…", "")]
    assert sum(cells(text) for text, _ in fit([("日本日本", "")], 6)) <= 6


def test_flow_fills_lines() -> None:
    """Pieces stand side by side while they fit, and none is ever split."""
    pieces = [[("aaaa", "")], [("bbbb", "")], [("cccc", "")]]

    lines = flow(pieces, 12, gap="  ")

    assert ["".join(text for text, _ in line) for line in lines] == ["aaaa  bbbb", "cccc"]


def test_block_replaces_itself(terminal: Terminal) -> None:
    """A second block goes up as many rows as the first one took, and clears them."""
    terminal.show([[("one", "")], [("two", "")]])
    terminal.show([[("three", "")]])

    assert written(terminal) == "one\ntwo\n\x1b[2A\x1b[0Jthree\n"


def test_block_that_was_wrapped_by_a_narrower_window(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the window became narrower, the old lines take more rows, and all of them are cleared."""
    terminal.show([[("x" * 40, "")], [("y", "")]])
    monkeypatch.setenv("COLUMNS", "25")
    terminal.show([[("z", "")]])

    assert written(terminal).endswith("\x1b[3A\x1b[0Jz\n")


def test_lines_stay_above_the_block(terminal: Terminal) -> None:
    """What is said takes the place of the block, which is drawn again below it."""
    terminal.show([[("block", "")]])
    terminal.say("news")
    terminal.show([[("block", "")]])

    assert written(terminal) == "block\n\x1b[1A\x1b[0Jnews\nblock\n"


def test_long_lines_break_between_words(terminal: Terminal) -> None:
    """On a terminal long lines break between words, and go on further right; a run's id is never broken."""
    terminal.say("  peft-studio resume r-20261122-203412-9f31ac --home here")

    assert written(terminal) == "  peft-studio resume\n    r-20261122-203412-9f31ac --home here\n"


def test_pipe_is_never_drawn_on() -> None:
    """Without a terminal there are whole lines, unbroken and uncoloured."""
    out = io.StringIO()
    terminal = Terminal(out)
    terminal.say("word " * 60, "bold")

    assert not terminal.live
    assert out.getvalue() == "word " * 60 + "\n"


@pytest.mark.parametrize("term", ["", "dumb"])
def test_dumb_terminal_is_never_drawn_on(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that is dumb, or says nothing of itself, is written to like a pipe."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("WT_SESSION", raising=False)

    assert not Terminal(Screen()).live


def test_commands_carry_the_home(terminal: Terminal) -> None:
    """A suggested command is on the same home, quoted for a shell."""
    terminal.home = "my home"

    assert terminal.command("attach", "r-1").endswith("attach r-1 --home 'my home'")
