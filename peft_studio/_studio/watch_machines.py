"""``python -m peft_studio._studio.watch_machines HOME``: looks after rented machines until none is left. Started by a launch; again does no harm."""

from __future__ import annotations

import logging
import sys


def main(home: str) -> int:
    """Watch the machines of a home, with keys from the input and from the vault."""
    from peft_studio._studio.machines import read_given_keys
    from peft_studio._studio.studio import Studio

    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.WARNING)
    keys = read_given_keys()
    Studio(home)._machines.watch(keys)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
