"""What may be typed after ``peft-studio``, and the help that says so. Knows the commands' names, not what they do."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, NoReturn

from peft_studio import __version__

ABOUT = """\
Fine-tune language models on this machine, and keep every run.

New here? This takes about three minutes, no account and no GPU:
  peft-studio quickstart     fine-tune a small model, see its answers change

A run goes on by itself: closing this terminal does not stop it.
  train SPEC.json            start a run and follow it
  sweep SPEC.json            try three learning rates in short runs
  runs                       list runs, newest first
  attach [RUN]               follow a run again, from any terminal
  stop [RUN]                 stop a run, keep what it learned (or --no-save)
  resume [RUN]               go on from the newest whole checkpoint

The result
  chat MODEL                 talk to a base model and to adapters on it

Rented machines
  spend                      what they cost: today, this week, this month
  rentals [--end MACHINE]    those that are there now, and the end of one

The house
  doctor                     check this installation and say what to mend
  lab                        open JupyterLab on the same runs
  new-connector NAME         begin a connector to another platform
  watch-rentals              watch rented machines until all are gone

RUN is a run's id, the end of one, or nothing for the newest run."""

STATUSES = """\
Exit status
  0    done; a run that was followed has completed
  1    a run failed or was lost, or the command itself could not be done
  2    wrong arguments
  3    a run that was followed has been stopped
  130  left with Ctrl-C; the run goes on

Runs and models are kept in one folder: --home, else $PEFT_STUDIO_HOME, else the
system's folder for data; peft-studio doctor shows which.
peft-studio COMMAND --help says more about one command."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint about a wrong word names the right one."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, how it is meant, and exit with status 2."""
        found = re.match(r"argument \S+: invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if found:
            from peft_studio.core.errors import nearest

            hint = nearest(found[1], [choice.strip(" '") for choice in found[2].split(",")])
            message = f"There is no {found[1]!r}. {hint}"
        way = f"{self.prog} --help shows what there is."
        if message.startswith("unrecognized arguments") and "lab" in sys.argv[1:]:
            way = "What JupyterLab is to have comes after two dashes: peft-studio lab -- --port 9999"
        self.exit(2, f"peft-studio: {message}\n  → {way}\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(
        prog="peft-studio",
        usage="peft-studio [--home FOLDER] COMMAND …",
        description=ABOUT,
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"peft-studio {__version__}")
    parser.add_argument("--home", metavar="FOLDER", help="where runs and models are kept")
    commands = parser.add_subparsers(
        dest="command", prog="peft-studio", metavar="COMMAND", help=argparse.SUPPRESS, parser_class=Parser
    )
    _add_doing(commands)
    _add_house(commands)
    _add_rented(commands)
    _add_starting(commands)
    _add_runs(commands)
    return parser


def _command(commands: Any, name: str, about: str, *, module: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(module=f"peft_studio.cli.{module or name}")
    # Suppressed, or its default would undo a --home that was given before the command.
    parser.add_argument("--home", metavar="FOLDER", default=argparse.SUPPRESS, help="where runs and models are kept")
    return parser


def _add_doing(commands: Any) -> None:
    _command(
        commands,
        "quickstart",
        "Fine-tune SmolLM2 135M to turn orders into JSON, here, and compare its answers before and after on prompts\n"
        "that training never saw. Needs no account, no network and no GPU; about three minutes on two CPU cores.",
    )
    chat = _command(
        commands,
        "chat",
        "Talk to a base model, and to adapters on it. The base model loads once; adapters are switched while it stays.\n"
        "With input from a pipe, every line is a prompt and every answer one line.",
    )
    chat.add_argument("model", metavar="MODEL", help="smollm2-135m, a hub id, or a local folder")
    chat.add_argument(
        "--adapter",
        metavar="NAME=PATH",
        action="append",
        default=[],
        help="an adapter: NAME=FOLDER, NAME=RUN, or RUN; may be given several times, the first one is used at once",
    )
    chat.add_argument(
        "--same-base",
        action="store_true",
        help="take the adapters to be trained on MODEL, whatever base their files name",
    )
    chat.add_argument("--max-new-tokens", metavar="N", type=_count, default=256, help="longest answer (default 256)")


def _add_house(commands: Any) -> None:
    _command(
        commands,
        "doctor",
        "Check Python, packages, device, memory, disk, models and runs. Exit status 1: something has to be done.",
    )
    lab = _command(
        commands,
        "lab",
        "Open JupyterLab on this home, at the notebooks that come with PEFT Studio. An installed one copies them into\n"
        "./peft-studio-notebooks, and leaves alone what is there. What follows is passed on: peft-studio lab -- --port 9999",
    )
    lab.add_argument("options", nargs="*", metavar="OPTION", help="options of JupyterLab, after --")
    _command(
        commands,
        "watch-rentals",
        "Watch rented machines until every one is proven gone. Started by itself whenever one is rented; it ends by itself, too.",
        module="watch_rentals",
    )
    new = _command(
        commands,
        "new-connector",
        "Write a package with a connector that works, and its tests, to be made into one for another platform.\n"
        "docs/connectors.md goes through it.",
        module="new_connector",
    )
    new.add_argument("name", metavar="NAME", help="small letters, digits and hyphens")
    new.add_argument("--folder", metavar="FOLDER", help="where to write it (default: here)")


def _add_rented(commands: Any) -> None:
    spend = _command(
        commands, "spend", "Say what rented machines cost today, this week and this month, by provider and by run."
    )
    spend.add_argument("--refresh", action="store_true", help="ask the providers first what they have charged")
    spend.add_argument("--cap", metavar="DOLLARS", help="what a month may cost from now on; none takes the cap away")
    rentals = _command(
        commands,
        "rentals",
        "List the machines that are rented now, and those with our label that nobody stands for. Where no process watches\n"
        "them, one is started.",
    )
    rentals.add_argument("--refresh", action="store_true", help="ask every connected provider for its list first")
    rentals.add_argument(
        "--end",
        metavar="MACHINE",
        help="have one gone, by its label, its id or its run; nothing is fetched from it first",
    )


def _add_starting(commands: Any) -> None:
    train = _command(
        commands,
        "train",
        "Start the run that a spec file describes, and follow it. Ctrl-C leaves the view; the run goes on.\n"
        'A spec file is written by studio.export(spec, "spec.json").',
        module="train",
    )
    train.add_argument("spec", metavar="SPEC.json")
    train.add_argument("--detach", action="store_true", help="print the run's id and return at once")
    sweep = _command(
        commands,
        "sweep",
        "Try a third, once and three times the learning rate of a spec in three short real runs, one after the other,\n"
        "and say which to take and how sure that is. Ctrl-C leaves; the runs go on, and the sweep's id finds them again.",
    )
    sweep.add_argument("spec", metavar="SPEC.json", help="a spec file, or the id of a sweep")
    sweep.add_argument("--max-steps", metavar="N", type=_count, help="optimizer steps of each run (default 30)")
    sweep.add_argument("--detach", action="store_true", help="print the sweep's id and return at once")


def _add_runs(commands: Any) -> None:
    listing = _command(commands, "runs", "List runs, newest first.")
    listing.add_argument("--status", metavar="STATE", help="queued, training, completed, failed, lost, …")
    listing.add_argument("--since", metavar="AGE", help="12h, 7d, 4w")
    listing.add_argument("--text", metavar="WORDS", default="", help="found in id, name, model or method")
    listing.add_argument("--limit", metavar="N", type=_count, default=20)
    listing.add_argument("--json", action="store_true", help="one JSON object a run, a line each")
    for name, about in (
        ("attach", "Follow a run. Ctrl-C leaves the view; the run goes on."),
        (
            "stop",
            "Stop a run, and wait until it has ended. What it has learned is kept as an adapter unless --no-save is given.",
        ),
        (
            "resume",
            "Go on with a run that stopped, failed or was lost, from its newest whole checkpoint, and follow it.",
        ),
    ):
        one = _command(commands, name, about, module="one_run")
        one.add_argument(
            "run", metavar="RUN", nargs="?", help="a run's id or the end of one; the newest run when left out"
        )
        if name == "stop":
            one.add_argument(
                "--save", action=argparse.BooleanOptionalAction, default=True, help="keep what was learned (default)"
            )
        if name == "resume":
            one.add_argument("--from-step", metavar="N", type=int, help="a checkpoint's step; 0 begins again")
            one.add_argument(
                "--max-usd",
                metavar="DOLLARS",
                help="of a rented run: its cap from now on, in all: what it has cost already counts",
            )
            one.add_argument(
                "--max-hours", metavar="HOURS", type=float, help="of a rented run: how long the next machine may live"
            )
            one.add_argument(
                "--detach", action="store_true", help="print the run's id once it is on its way, and return"
            )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
