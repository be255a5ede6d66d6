"""``peft-studio watch-rentals``: the process that watches rented machines until all are proven gone. Started by whoever rents; a person may, too."""

from __future__ import annotations

import argparse
import logging
import sys

from peft_studio._studio import Studio
from peft_studio._studio.watch_keys import read_watch_keys
from peft_studio.cli.terminal import Terminal


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Watch; come back when nothing is left to watch, or at once where another process does so already."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    keys = {} if sys.stdin is None or sys.stdin.isatty() else read_watch_keys(sys.stdin.read())
    if not Studio(home=arguments.home)._watch_rentals(keys):
        terminal.say("Another process watches this home's machines.")
        return 0
    terminal.say("Every rented machine of this home is gone, as its provider's lists show.")
    return 0
