"""``peft-studio watch-rentals``: the process that watches rented machines until all are proven gone. Started by whoever rents; a person may, too."""

from __future__ import annotations

import argparse
import logging

from peft_studio._studio import Studio
from peft_studio._studio.rentals import build_reconciler
from peft_studio.cli.terminal import Terminal


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Watch; come back when nothing is left to watch, or at once where another process does so already."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    studio = Studio(home=arguments.home)
    if not build_reconciler(studio).run():
        terminal.say("Another process watches this home's machines already.")
        return 0
    terminal.say("Every rented machine of this home is gone, as its provider's lists show.")
    return 0
