"""``peft-studio train SPEC.json``: from a spec file to a run that is followed."""

from __future__ import annotations

import argparse

from peft_studio._studio import Studio
from peft_studio.cli.terminal import Terminal
from peft_studio.cli.watch import DONE, follow, say_detached
from peft_studio.widgets._text import plain


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Check the spec, say what is to be known before, launch, follow."""
    studio = Studio(home=arguments.home)
    spec, notes = studio.load(arguments.spec)
    for note in notes:
        terminal.say(f"Here: {plain(note)}", "muted")
    problems = studio.check(spec).problems
    launched = studio.launch(spec)  # blocking problems come back from here, as an error
    for problem in problems:
        terminal.say(f"{problem.severity.capitalize()}: {plain(problem.message)}", "warn")
        terminal.say(f"  → {plain(problem.fix)}")
    if arguments.detach:
        terminal.say(launched.id)
        say_detached(launched.id, terminal)
        return DONE
    return follow(launched, terminal)
