"""``peft-studio rentals``: the machines that are rented now, and the end of one."""

from __future__ import annotations

import argparse

from peft_studio._studio import Studio
from peft_studio.cli.terminal import Terminal


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """List them; with ``--end`` have one gone first."""
    studio = Studio(home=arguments.home)
    listed = studio.rentals(refresh=arguments.refresh)
    if arguments.end is not None:
        asked = listed.end(arguments.end)
        terminal.say(f"{', '.join(asked)} is to be gone." if asked else "It is to be gone already.")
        listed = studio.rentals()
    terminal.say(repr(listed))
    return 0
