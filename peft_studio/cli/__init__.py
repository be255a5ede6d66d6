"""The terminal door: ``peft-studio …``. Thin: it reads arguments, asks :class:`peft_studio.Studio`, and writes what a person reads.

Knows nothing of training. Each command is a module with ``run(arguments, terminal) -> int``, imported when it is asked for, so that
``--help`` costs next to nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

from peft_studio.cli.parser import build_parser
from peft_studio.cli.terminal import Terminal

DONE, FAILED, USAGE, STOPPED, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; see ``peft-studio --help`` for what each means."""
    terminal = Terminal()
    parser = build_parser()
    arguments = parser.parse_args(argv)
    terminal.home = arguments.home
    if arguments.command is None:
        parser.print_help()
        return USAGE
    from peft_studio.core.errors import StudioError

    command = importlib.import_module(arguments.module)
    try:
        status: int = command.run(arguments, terminal)
        sys.stdout.flush()
    except StudioError as error:
        terminal.complain(error.message, hint=error.hint)
        return FAILED
    except KeyboardInterrupt:
        terminal.complain("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:  # `peft-studio runs | head -1`: the reader has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return status


__all__ = ["main"]
