"""Following a run until it ends or the person leaves. Leaving is not stopping: the run goes on either way."""

from __future__ import annotations

import time
from collections.abc import Callable

from peft_studio.cli import figures, progress
from peft_studio.cli.follow import Follower, Seen
from peft_studio.cli.terminal import Terminal
from peft_studio.core.runs.state import LIVE
from peft_studio.core.services.run import Run
from peft_studio.widgets._text import plain, tail

DONE, FAILED, STOPPED, DETACHED = 0, 1, 3, 130
REDRAW_S = 0.25
LINE_S = 5.0  # between plain lines while steps go by
SIGN_OF_LIFE_S = 30.0  # between plain lines while nothing changes
TRACE_CHARACTERS = 1500


def follow(run: Run, terminal: Terminal, *, is_stuck: Callable[[], bool] = lambda: False) -> int:
    """Show a run until it has ended or is lost, then its result; return the exit status that says how it ended.

    ``is_stuck`` is asked meanwhile: once it says so, having said why, the run is left as it is.
    """
    follower = Follower(run.folder)
    try:
        seen = follower.look()
        terminal.say(progress.title(seen), "bold")
        show = _redraw if terminal.live else _print
        seen = show(follower, seen, terminal, is_stuck)
    except KeyboardInterrupt:
        terminal.keep()
        say_detached(run.id, terminal)
        return DETACHED
    terminal.clear()
    if seen.live:
        return FAILED
    say_result(run, seen, terminal)
    return status_of(seen.standing.state)


def status_of(state: str) -> int:
    """The exit status that stands for how a run ended."""
    return {"completed": DONE, "stopped": STOPPED}.get(state, FAILED)


def say_detached(run_id: str, terminal: Terminal) -> None:
    """How to come back, and how to stop."""
    terminal.say(f"\nLeft {run_id}; it goes on. To come back, or to stop it:")
    terminal.exact(terminal.command("attach", run_id), terminal.command("stop", run_id))


def _redraw(follower: Follower, seen: Seen, terminal: Terminal, is_stuck: Callable[[], bool]) -> Seen:
    first = True
    while True:
        for text, role in progress.news(seen, first=first):
            terminal.say(text, role)
        first = False
        if not seen.live or is_stuck():
            return seen
        terminal.show(progress.block(seen, width=terminal.width, unicode=terminal.unicode))
        time.sleep(REDRAW_S)
        seen = follower.look()


def _print(follower: Follower, seen: Seen, terminal: Terminal, is_stuck: Callable[[], bool]) -> Seen:
    """A line when the state changes, when steps went by, and as a sign of life."""
    said: tuple[str, str, int] | None = None
    said_at = 0.0
    while True:
        for text, role in progress.news(seen, first=said is None):
            terminal.say(text, role)
        if not seen.live or is_stuck():
            return seen
        phase = seen.state.phases[-1].phase if seen.state.phases else ""
        what, age_s = (seen.standing.state, phase, seen.step), time.monotonic() - said_at
        moved = said is None or what[:2] != said[:2] or (what != said and age_s >= LINE_S)
        if moved or age_s >= SIGN_OF_LIFE_S:
            terminal.say(progress.line(seen))
            said, said_at = what, time.monotonic()
        time.sleep(REDRAW_S)
        seen = follower.look()


def say_result(run: Run, seen: Seen, terminal: Terminal) -> None:
    """How the run ended, what it left, and what can be done next."""
    word = figures.state_word(seen.state, seen.standing, now=seen.now)
    facts = [f"step {seen.step:,}" + (f" of {seen.total:,}" if seen.total else "")] if seen.step else []
    if seen.loss is not None:
        facts.append(f"loss {figures.loss(seen.first_loss)} → {figures.loss(seen.loss)}")
    if seen.eval_loss is not None:
        facts.append(f"eval loss {figures.loss(seen.eval_loss)}")
    facts.append(f"took {figures.duration(seen.took_s)}")
    terminal.say(f"{word}: {', '.join(facts)}", figures.state_role(seen.standing))
    if seen.state.failure:
        _say_failure(run, terminal)
    if seen.state.adapter and not seen.live:
        saved = seen.state.adapter
        terminal.say(f"Its adapter, {figures.file_size(saved.size_bytes)}:")
        terminal.exact(str(seen.folder.path / saved.path))
    if seen.standing.state == "completed":
        terminal.say("Talk to it:")
        terminal.exact(terminal.command("chat", seen.spec.model, "--adapter", run.id))
    if seen.standing.state in {"failed", "stopped", "lost"}:
        steps = run.checkpoints
        where = f"step {steps[-1]:,}" if steps else "the start (no checkpoint was saved)"
        terminal.say(f"Go on from {where}:")
        terminal.exact(terminal.command("resume", run.id))


def _say_failure(run: Run, terminal: Terminal) -> None:
    failure = run.failure
    if failure is None:
        return
    terminal.say(f"  {plain(failure.message)}")
    if failure.hint:
        terminal.say(f"  → {plain(failure.hint)}")
    for way in failure.suggestions:
        changes = ", ".join(f"{name}={value!r}" for name, value in way.changes.items())
        terminal.say(f"  try  {way.title}: {changes}. {way.why}")
    if failure.suggestions:
        terminal.say(f'       in Python: studio.launch(studio.run("{run.id}").failure.suggestions[0].spec)')
    if failure.trace:
        trace = tail(failure.trace.rstrip(), limit=TRACE_CHARACTERS)
        terminal.say("\n".join("  | " + line for line in trace.split("\n")), "muted")


def is_live(state: str) -> bool:
    """Whether a run in this state is still under way."""
    return state in LIVE
