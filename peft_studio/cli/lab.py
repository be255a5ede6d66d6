"""``peft-studio lab``: JupyterLab on the same home."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from peft_studio._studio import Studio
from peft_studio.cli.terminal import Terminal
from peft_studio.core.errors import MissingExtra

CHECKOUT = (
    Path(__file__).parents[2] / "jupyterlab_ext" / "labextensions"
)  # an installed wheel has its sidebar, and what enables its server part, where JupyterLab looks
SERVER = "--ServerApp.jpserver_extensions=peft_studio.widgets._server=True"


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Start JupyterLab and wait for it; its kernels open the home that was given here."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingExtra("JupyterLab is not installed here.", hint="pip install 'peft-studio[notebook]'")
    home = Studio(home=arguments.home).home
    terminal.say(f"JupyterLab on {home}; Ctrl-C twice ends it. Runs go on without it.")
    environment = {**os.environ, "PEFT_STUDIO_HOME": str(home)}
    sidebar = [f"--LabApp.extra_labextensions_path={CHECKOUT}", SERVER] if CHECKOUT.is_dir() else []
    with subprocess.Popen([sys.executable, "-m", "jupyterlab", *sidebar, *arguments.options], env=environment) as lab:
        while True:
            try:
                return lab.wait()
            except KeyboardInterrupt:  # the same key reached JupyterLab, which asks before it ends
                continue
