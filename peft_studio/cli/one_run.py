"""``attach``, ``stop`` and ``resume``: one run, found by its id, whoever started it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from peft_studio._studio import Studio
from peft_studio.cli import progress
from peft_studio.cli.choose import find_run
from peft_studio.cli.ending import Ending
from peft_studio.cli.follow import Follower
from peft_studio.cli.terminal import Terminal
from peft_studio.cli.watch import DONE, FAILED, follow, is_live, say_result
from peft_studio.core.services.run import Run


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """One of the three commands."""
    studio = Studio(home=arguments.home)
    chosen = find_run(studio, arguments.run)
    if arguments.command == "stop":
        return _stop(chosen, terminal, save=arguments.save, is_stuck=Ending(studio, chosen.id, terminal).is_stuck)
    if arguments.command == "resume":
        chosen.resume(from_step=arguments.from_step, max_usd=arguments.max_usd, max_hours=arguments.max_hours)
        if arguments.detach:
            terminal.say(chosen.id)
            return DONE
    return follow(chosen, terminal)


def _stop(chosen: Run, terminal: Terminal, *, save: bool, is_stuck: Callable[[], bool]) -> int:
    """Ask for the end and wait for it. A run that has ended already, or is lost, is left as it is.

    A rented machine whose end cannot be had is not waited for without end.
    """
    state = chosen.state
    if is_live(state):
        chosen.stop(save=save)
        begun = state not in {"queued", "provisioning"}
        kept = (
            "ends after this step and keeps what it has learned" if save and begun else "ends now; its checkpoints stay"
        )
        terminal.say(f"{chosen.id} {kept}. Ctrl-C: do not wait for the end.")
        here = chosen.provider == "local"
        status = follow(chosen, terminal) if here else follow(chosen, terminal, is_stuck=is_stuck)
        return FAILED if status == FAILED else DONE
    terminal.say(f"{chosen.id} is not under way; there is nothing to stop.")
    seen = Follower(chosen.folder).look()
    terminal.say(progress.title(seen), "bold")
    say_result(chosen, seen, terminal)
    return DONE
