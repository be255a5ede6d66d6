"""``peft-studio train SPEC.json``: from a spec file to a run that is followed."""

from __future__ import annotations

import argparse

from peft_studio._studio import Studio
from peft_studio.cli.terminal import Terminal
from peft_studio.cli.watch import DONE, follow
from peft_studio.widgets._text import plain


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Check the spec, say what is to be known before, launch, follow."""
    studio = Studio(home=arguments.home)
    spec, notes = studio.load(arguments.spec)
    for note in notes:
        terminal.aside(f"Here: {plain(note)}")
    problems = studio.check(spec).problems
    # A script that starts many runs should not wait for a measurement that it did not ask for.
    quote = studio.quote(spec, measure=terminal.live)
    terminal.aside(plain(quote.summary))
    launched = studio.launch(spec)  # blocking problems come back from here, as an error
    for problem in problems:
        terminal.aside(f"{problem.severity.capitalize()}: {plain(problem.message)}\n  → {plain(problem.fix)}")
    if arguments.detach:
        terminal.say(launched.id)
        return DONE
    return follow(launched, terminal)
