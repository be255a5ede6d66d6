"""``peft-studio lab``: JupyterLab on the same home, at the notebooks that come with the studio."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from peft_studio._studio import Studio
from peft_studio.cli.terminal import Terminal
from peft_studio.core.errors import MissingExtra

CHECKOUT = Path(__file__).parents[2]
SIDEBAR = (
    CHECKOUT / "jupyterlab_ext" / "labextensions"
)  # an installed wheel has its sidebar and its server's part where JupyterLab looks
OWN = CHECKOUT / "notebooks"
SHIPPED = Path(__file__).parents[1] / "notebooks"  # in an installed wheel
COPIES = "peft-studio-notebooks"
FIRST = "00-quickstart.ipynb"
SERVER = "--ServerApp.jpserver_extensions=peft_studio.widgets._server=True"


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Start JupyterLab and wait for it; its kernels open the home that was given here."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingExtra("JupyterLab is not installed here.", hint=get_way())
    home = Studio(home=arguments.home).home
    notebooks = find_notebooks(Path.cwd())
    terminal.say(f"Notebooks: {notebooks}")
    terminal.say(f"Runs: {home}. Ctrl-C twice ends JupyterLab; runs go on without it.")
    environment = {**os.environ, "PEFT_STUDIO_HOME": str(home)}
    with subprocess.Popen(build_command(notebooks, arguments.options), env=environment) as lab:
        signal.signal(signal.SIGTERM, lambda *_: lab.terminate())  # a server that nobody sees would go on
        while True:
            try:
                return lab.wait()
            except KeyboardInterrupt:  # the same key reached JupyterLab, which asks before it ends
                continue


def get_way() -> str:
    """What brings JupyterLab: a checkout has its own set-up, which builds the panels too."""
    return f"make lab, in {CHECKOUT}" if (CHECKOUT / "Makefile").is_file() else "pip install 'peft-studio[notebook]'"


def find_notebooks(folder: Path) -> Path:
    """The checkout's own notebooks; of an installed wheel, copies in ``folder``. A file that is there is left as it is."""
    if (OWN / FIRST).is_file():
        return OWN
    copies = folder / COPIES
    copies.mkdir(exist_ok=True)
    for notebook in sorted(SHIPPED.glob("*.ipynb")):
        if not (copies / notebook.name).exists():
            shutil.copyfile(notebook, copies / notebook.name)
    return copies


def build_command(notebooks: Path, options: list[str]) -> list[str]:
    """JupyterLab in the folder above the notebooks, with the first of them open. What the user gives comes last and wins."""
    given = [
        f"--ServerApp.root_dir={notebooks.parent}",
        f"--LabApp.default_url=/lab/tree/{notebooks.name}/{FIRST}",
    ]
    given += [f"--LabApp.extra_labextensions_path={SIDEBAR}", SERVER] if SIDEBAR.is_dir() else []
    return [sys.executable, "-m", "jupyterlab", *given, *options]
