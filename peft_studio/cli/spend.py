"""``peft-studio spend``: what rented machines cost."""

from __future__ import annotations

import argparse

from peft_studio._studio import Studio
from peft_studio.cli.terminal import Terminal


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Say it; with ``--cap`` set the month's cap first."""
    studio = Studio(home=arguments.home)
    if arguments.cap is not None:
        studio.spend_cap = None if arguments.cap == "none" else arguments.cap
    terminal.say(repr(studio.spend(refresh=arguments.refresh)))
    return 0
