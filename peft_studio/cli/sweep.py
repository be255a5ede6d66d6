"""``peft-studio sweep SPEC.json``: three learning rates tried in short runs, and which to take."""

from __future__ import annotations

import argparse
from pathlib import Path

from peft_studio._studio import Studio
from peft_studio.cli.terminal import Terminal
from peft_studio.cli.watch import DONE
from peft_studio.widgets._text import plain


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Launch the runs of a sweep, or find those of an earlier one, wait for them and say what came out."""
    studio = Studio(home=arguments.home)
    if arguments.spec.startswith("s-") and not Path(arguments.spec).exists():
        sweep = studio.sweep(arguments.spec)
    else:
        spec, notes = studio.load(arguments.spec)
        for note in notes:
            terminal.aside(f"Here: {plain(note)}")
        sweep = studio.sweep(spec, max_steps=arguments.max_steps)
    if arguments.detach:
        terminal.say(sweep.id)
        return DONE
    if not sweep.ended:
        terminal.say(
            f"{sweep.id}: {len(sweep.runs)} runs of {sweep.runs[0].spec.planned_steps} steps. Ctrl-C leaves; they go on."
        )
        sweep.wait()
    for line in repr(sweep).splitlines():
        terminal.say(plain(line))
    return DONE
