"""JupyterLab in a real browser: a server in a folder of its own, a page on it, and the few things a test does there.

Nothing here sleeps: every step waits for a condition in the page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Error, Locator, Page, expect, sync_playwright

from peft_studio.cli.lab import SERVER

HERE = Path(__file__).parent
ROOT = HERE.parents[1]  # before what is installed: a second work tree tests itself
LABEXTENSIONS = ROOT / "jupyterlab_ext" / "labextensions"  # the sidebar of this checkout
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}
LIGHT = "JupyterLab Light"
PATIENCE_MS = 60_000  # an event is waited for, however busy the machine
expect.set_options(timeout=PATIENCE_MS)
# JupyterLab's own, when a kernel goes while it asks something of it, or in the middle of what its server passes on.
JUPYTERS = ("Canceled future", '"stream.stderr" is not valid JSON')
START_S = 90.0  # a cold start on two busy cores


def find_browser() -> str | None:
    """The Chromium of this machine; None where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def open_lab(folder: Path, *, theme: str = LIGHT) -> Iterator[Lab]:
    """A server on ``folder`` and a browser. Both end with the block."""
    with serve(folder, theme=theme) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield Lab(folder, address, browser, theme=theme)
        browser.close()


@contextmanager
def serve(folder: Path, *, theme: str = LIGHT, sidebar: bool = True) -> Iterator[str]:
    """A server on ``folder``, given by its address; without ``sidebar`` it is a bare JupyterLab."""
    port = find_port()
    env = _environment(folder, theme)
    arguments = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser", "--allow-root", f"--port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}",
        "--LabApp.extension_manager=readonly", "--JupyterNotebookApp.expose_app_in_browser=True",
    ]  # fmt: skip
    if sidebar:
        arguments += [
            SERVER,
            *(f"--{app}.extra_labextensions_path={LABEXTENSIONS}" for app in ("LabApp", "JupyterNotebookApp")),
        ]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(arguments, env=env, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for_server(port, server, folder)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


class Lab:
    """A running JupyterLab."""

    def __init__(self, folder: Path, address: str, browser: Browser, *, theme: str = LIGHT) -> None:
        self.folder, self.address, self.browser, self._theme = folder, address, browser, theme

    def open(self, cells: list[str], *, name: str = "test.ipynb", app: str = "lab/tree", **page: Any) -> Notebook:
        """A new notebook with these cells, opened, its kernel idle. Nothing has run. ``app`` may be Notebook 7's ``notebooks``."""
        _write_settings(self.folder, self._theme)  # a test before may have chosen another theme, and JupyterLab kept it
        self.write(cells, name=name)
        opened = self.browser.new_page(**{"viewport": {"width": 1280, "height": 1000}, **page})
        opened.set_default_timeout(PATIENCE_MS)
        shown = Notebook(opened, f"{self.address}/{app}/{name}?reset")
        shown.load()
        return shown

    def reopen(self, notebook: Notebook) -> Notebook:
        """The same notebook in a new page, as after its browser tab was closed. Its kernel is what it was."""
        opened = self.browser.new_page(viewport={"width": 1280, "height": 1000})
        opened.set_default_timeout(PATIENCE_MS)
        shown = Notebook(opened, notebook.address)
        shown.load()
        return shown

    def write(self, cells: list[str], *, name: str) -> None:
        """Save a notebook with these cells."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / name)

    def open_empty(self) -> Notebook:
        """JupyterLab with nothing open but its launcher."""
        page = self.browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        shown = Notebook(page, f"{self.address}/lab?reset")
        page.goto(f"{self.address}/lab?reset")
        page.wait_for_selector(".jp-Launcher-body")
        return shown

    def open_blank(self) -> Page:
        """An empty page without JupyterLab."""
        return self.browser.new_page()


class Notebook:
    """One open notebook."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        page.on("pageerror", self._note_error)
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def _note_error(self, error: Error) -> None:
        text = error.stack or str(error)
        if not any(own in text for own in JUPYTERS):
            self.errors.append(text)

    def load(self) -> None:
        """Load or load again, and wait until cells can run."""
        self.page.goto(self.address)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until cells of the notebook in front can run."""
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.context?.isReady"
            " && window.jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.connectionStatus === 'connected'"
            " && window.jupyterapp.shell.currentWidget.content.widgets.length > 0"
        )

    def bring(self, name: str) -> None:
        """Open another notebook in the same page, or bring it to the front, and wait until its cells can run."""
        self.page.evaluate("name => void window.jupyterapp.commands.execute('docmanager:open', { path: name })", name)
        self.page.wait_for_function("name => window.jupyterapp.shell.currentWidget?.context?.path === name", arg=name)
        self.wait_until_ready()

    def command(self, name: str, **arguments: Any) -> None:
        """Run one of JupyterLab's commands without waiting for it."""
        self.page.evaluate("([name, args]) => void window.jupyterapp.commands.execute(name, args)", [name, arguments])

    def start(self, cell: int) -> None:
        """Run a cell without waiting for it."""
        self.page.evaluate(
            "async at => { const app = window.jupyterapp; const panel = app.shell.currentWidget;"
            " panel.content.activeCellIndex = at; panel.content.deselectAll(); void app.commands.execute('notebook:run-cell'); }",
            cell,
        )

    def run(self, cell: int) -> None:
        """Run a cell and wait until it has its number."""
        self.start(cell)
        self.wait_for_cell(cell)

    def wait_for_cell(self, cell: int) -> None:
        """Wait until a cell has run."""
        self.page.wait_for_function(
            "at => /\\[\\d+\\]/.test(document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell .jp-InputPrompt')[at]?.textContent ?? '')",
            arg=cell,
        )

    def wait_for_busy(self, cell: int) -> None:
        """Wait until a cell is running."""
        self.page.wait_for_function(
            "at => document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell .jp-InputPrompt')[at]?.textContent.includes('[*]')",
            arg=cell,
        )

    def restart_kernel(self) -> None:
        """Restart the notebook's kernel."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")

    def close(self) -> None:
        """Shut down the kernel and close the page."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.close()

    def panel(self, at: int = 0) -> Locator:
        """One of the panels on the page."""
        return self.page.locator(".jp-Notebook section.ps").nth(at)  # not the sidebar's view of it

    def set_theme(self, name: str) -> None:
        """Switch JupyterLab's theme and wait until the page wears it and the splash has gone: a second one would trip over it."""
        self.page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', { theme: name })", name)
        light = "false" if "Dark" in name else "true"
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light && !document.getElementById('jupyterlab-splash')",
            arg=light,
        )

    def save(self) -> dict[str, Any]:
        """Save, and read back what was saved."""
        # Again where it is dirty at once: the kernel's own words on its language may come late, and change the notebook.
        self.page.wait_for_function(
            "async () => { const app = window.jupyterapp; await app.commands.execute('docmanager:save');"
            " return !app.shell.currentWidget.context.model.dirty; }"
        )
        name = self.address.split("/")[-1].split("?")[0]
        content: dict[str, Any] = self.page.evaluate(
            "async name => (await window.jupyterapp.serviceManager.contents.get(name)).content", name
        )
        return content

    def saved_output(self, cell: int, *, containing: str) -> dict[str, str] | None:
        """Save, and give the cell's output as saved, its HTML joined; None while the HTML does not contain the words."""
        outputs = self.save()["cells"][cell]["outputs"]
        data = {kind: "".join(text) for kind, text in outputs[0]["data"].items() if kind.startswith("text/")}
        return data if containing in data.get("text/html", "") else None

    def count_pixels(self, canvas: Locator, color: tuple[int, int, int]) -> int:
        """How many pixels of a canvas have this colour and are opaque."""
        count: int = canvas.evaluate(
            "(canvas, [r, g, b]) => { const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
            " let n = 0; for (let at = 0; at < data.length; at += 4)"
            " if (data[at] === r && data[at + 1] === g && data[at + 2] === b && data[at + 3] > 250) n++; return n; }",
            list(color),
        )
        return count

    def lightness(self, element: Locator) -> float:
        """Lightness of an element's background, 0 to 1."""
        color: str = element.evaluate("element => getComputedStyle(element).backgroundColor")
        red, green, blue = (float(part) for part in re.findall(r"[\d.]+", color)[:3])
        return (red + green + blue) / 3 / 255

    def resize(self, panel: Locator, *, width: int, font: str) -> None:
        """Give a panel a width and JupyterLab a font size, and wait until the panel has been laid out with them."""
        panel.evaluate(
            "(panel, [width, font]) => { document.documentElement.style.setProperty('--jp-ui-font-size1', font);"
            " panel.style.width = width + 'px'; }",
            [width, font],
        )
        self.page.wait_for_function(
            "([panel, width]) => panel.offsetWidth === width"
            " && [...panel.querySelectorAll('.ps-chart')].every(one => !one.firstElementChild"
            " || one.firstElementChild.offsetWidth <= one.clientWidth)",
            arg=[panel.element_handle(), width],
        )

    def sticking_out(self, panel: Locator) -> list[str]:
        """What lies outside the panel, or is a button whose words do not fit. Names are cut, and a matrix scrolls, on purpose."""
        found: list[str] = panel.evaluate(
            """panel => { const edge = panel.getBoundingClientRect(); const out = [];
            for (const one of panel.querySelectorAll('*')) {
              const box = one.getBoundingClientRect();
              if (box.width && box.right > edge.right + 1 && !one.closest('.ps-log, .ps-hidden, .u-over, .ps-open, .ps-second, .ps-matrix'))
                out.push(one.className?.baseVal ?? one.className ?? one.tagName);
              if (one.tagName === 'BUTTON' && !one.matches('.ps-open') && one.scrollWidth > one.clientWidth + 1) out.push('cut: ' + one.textContent);
            }
            return out; }"""
        )
        return found


def show_code(run_folder: Path, *, width: str = "") -> str:
    """A cell that shows the panel of a run folder."""
    lines = [
        "from folder_run import FolderRun",
        "from peft_studio.widgets.run import RunPanel",
        f"panel = RunPanel(FolderRun({str(run_folder)!r}))",
    ]
    return "\n".join([*lines, f"panel.layout.width = {width!r}" if width else "", "panel"])


def _write_settings(folder: Path, theme: str) -> None:
    for name, values in {**SETTINGS, "apputils-extension/themes": {"theme": theme}}.items():
        path = folder / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def _environment(folder: Path, theme: str) -> dict[str, str]:
    _write_settings(folder, theme)
    own = {"JUPYTERLAB_SETTINGS_DIR": ".settings", "JUPYTERLAB_WORKSPACES_DIR": ".workspaces", "JUPYTER_CONFIG_DIR": ".config",
           "JUPYTER_RUNTIME_DIR": ".runtime", "JUPYTER_DATA_DIR": ".data", "IPYTHONDIR": ".ipython", "PEFT_STUDIO_HOME": ".home"}  # fmt: skip
    return {
        **os.environ,
        **{name: str(folder / path) for name, path in own.items()},
        "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)]),
    }


def find_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_server(port: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/status")
    for _ in range(int(START_S / 0.25)):
        try:
            urllib.request.urlopen(request, timeout=5).close()
            return
        except OSError:
            # Not listening yet; the wait below ends early when the server dies.
            try:
                server.wait(0.25)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError("JupyterLab ended:\n" + (folder / "server.log").read_text()[-3000:]) from None
    raise RuntimeError("JupyterLab did not start:\n" + (folder / "server.log").read_text()[-3000:])
