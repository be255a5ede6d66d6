"""Pictures of every panel for the docs, in both themes: ``python -m tests.ui.screenshots``.

What is seen is real: the file of the data-doctor notebook, runs that trained the embedded model here, answers of that model, the platforms of
the catalog as they stand without keys. Nothing is asked of a registry. Compute and Spend alone show what was made for it (``rented_pictures``):
prices of the tests' emulators, and machines that nobody rented; the pages that they stand on say so. The runs stay
in ``.work/pictures``, so that only the first call trains (a few minutes on two cores); ``--home`` and ``--out`` choose other places.
"""

from __future__ import annotations

import argparse
import base64
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page, expect

import hatch_build
from peft_studio import RunFailed, Studio, quickstart
from tests.ui.lab import ROOT, Notebook, open_lab
from tests.ui.rented_pictures import rented

WIDTH = "880px"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
LARGEST_BYTES = 150_000
# Name → what sets it apart from the quickstart's settings. The first is shown alone, the others beside it.
RUNS = {
    "orders": {"eval_steps": 10, "sample_steps": 10},
    "orders-dora": {"method": "dora", "max_steps": 12, "learning_rate": 5e-4},
    "orders-rank-32": {"rank": 32, "max_steps": 12},
    "orders-too-fast": {"learning_rate": 0.5, "max_steps": 12},  # fails, and says why
}
FIRST, *OTHERS, FAILS = RUNS
WITHOUT_RUNS = {"connect", "models", "data", "train", "compute", "spend"}
MODEL_MS = 120_000  # loading it on two busy cores

START = """
from peft_studio import RunFailed, Studio, quickstart
studio = Studio(home={home!r})
runs = {{run.read()[0].name: run.id for run in studio.runs()}}

def show(name=None, run_id=None):
    panel = studio.panel(name, run_id)
    panel.layout.width = {width!r}
    return panel
"""
DATA = """
data = studio.data("tickets.csv", columns={"prompt": "ticket", "completion": "reply"}, split=0.2, seed=5)
studio.spec(model="smollm2-135m", data=data, max_length=256)
show("data")
"""
TRAIN = """
data = studio.data(str(quickstart.data_path()), split=0.05)
studio.spec(model="smollm2-135m", data=data, name="orders", rank=32, learning_rate=1e-3, epochs=1)
show("train")
"""
SIDEBAR = [
    "from peft_studio import studio\n\nstudio.runs()",
    f"""run = next(run for run in studio.runs() if run.read()[0].name == {FIRST!r})
studio.session.choose(run_id=run.id)
run.metrics()[["loss"]].tail(8)""",
]
STUDIO = TRAIN.replace('show("train")', "studio.session.choose(panel='train')\nshow()")


def train_runs(home: Path) -> None:
    """Launch what this home does not have yet, and wait for it."""
    studio = Studio(home=home)
    done = {run.read()[0].name for state in ("completed", "failed") for run in studio.runs(status=state)}
    data = studio.data(str(quickstart.data_path()), split=0.02, seed=1)
    prompts = [quickstart.prompts()[0].prompt]
    for name in RUNS.keys() - done:
        spec = studio.spec(
            model=quickstart.MODEL, data=data, **{**quickstart.SETTINGS, "sample_prompts": prompts, **RUNS[name]}
        )
        with suppress(RunFailed):
            studio.launch(spec, name=name).wait()


def see_connect(panel: Locator) -> None:
    expect(panel.locator("[data-name=huggingface]")).to_be_visible()


def see_models(panel: Locator) -> None:
    """What comes with the studio; no registry is asked, so nothing here is of a fixture."""
    panel.get_by_role("button", name="SmolLM2 135M Instruct").click()
    expect(panel.locator(".ps-needs li").first).to_be_visible()


def see_data(panel: Locator) -> None:
    expect(panel.locator(".ps-head .ps-badge")).to_contain_text("blocking", timeout=MODEL_MS)
    expect(panel.locator(".ps-counts")).to_contain_text("tokens are trained", timeout=MODEL_MS)
    expect(panel.get_by_role("img", name="Lengths of")).to_be_visible()


def see_train(panel: Locator) -> None:
    expect(panel.locator(".ps-before .ps-badge")).to_have_text("Ready", timeout=MODEL_MS)
    expect(panel.get_by_role("button", name="Time and cost, what they are made of")).to_be_visible(timeout=MODEL_MS)
    panel.get_by_role("button", name="Memory, what it is made of").click()


def see_runs(panel: Locator) -> None:
    for name in (FIRST, *OTHERS):
        panel.get_by_label(f"Select {name}", exact=True).check()
    panel.get_by_role("button", name="Compare", exact=True).click()
    expect(panel.get_by_role("region", name="Side by side")).to_be_visible()


def see_run(panel: Locator) -> None:
    expect(panel.locator("canvas").first).to_be_visible()


def see_chat(panel: Locator) -> None:
    boxes = panel.get_by_role("group", name="Who answers").get_by_role("checkbox")
    for name, on in ((FIRST, True), *((name, False) for name in OTHERS)):
        box = boxes.and_(panel.get_by_role("checkbox", name=re.compile(f"^{name} ")))
        if box.is_checked() != on:
            box.click()  # the kernel ticks it
        expect(box).to_be_checked(checked=on)
    panel.get_by_label("Prompt").fill(quickstart.prompts()[0].prompt)
    panel.get_by_role("button", name="Settings").click()
    panel.get_by_label("Longest answer").fill("48")
    panel.get_by_label("Longest answer").press("Enter")
    expect(panel.locator(".ps-manner")).to_contain_text("up to 48 tokens")
    panel.get_by_role("button", name="Settings").click()
    panel.get_by_role("button", name="Send").click()
    expect(panel.locator("article[data-state=done]")).to_have_count(2, timeout=MODEL_MS)


def see_compute(panel: Locator) -> None:
    expect(panel.get_by_role("row", name="NVIDIA L4 RunPod")).to_be_visible()
    expect(panel.get_by_role("row", name="Nearest:")).to_be_visible()


def see_spend(panel: Locator) -> None:
    expect(panel.get_by_role("region", name="Machines now")).to_be_visible()


def see_publish(panel: Locator) -> None:
    """What would go to the hub, to which nothing here is connected: it is a look, and nothing is sent."""
    panel.get_by_label("Hugging Face", exact=True).check()
    panel.get_by_label("Name there").fill("me/orders")
    panel.get_by_label("Name there").blur()
    expect(panel.get_by_label("Preview of the model card")).to_contain_text("me/orders")


def see_logs(panel: Locator) -> None:
    expect(panel.get_by_role("log").locator("li").first).to_be_visible()


def see_studio(panel: Locator) -> None:
    expect(panel.locator("section.ps .ps-before .ps-badge")).to_have_text("Ready", timeout=MODEL_MS)


PANELS: dict[str, tuple[str, Callable[[Locator], None]]] = {
    "connect": ("show('connect')", see_connect),
    "models": ("show('models')", see_models),
    "data": (DATA, see_data),
    "train": (TRAIN, see_train),
    "compute": ("", see_compute),  # the cells of these two are made by rented_pictures
    "spend": ("", see_spend),
    "runs": ("show('runs')", see_runs),
    "run": (f"show('run', runs[{FIRST!r}])", see_run),
    "chat": ("show('chat')", see_chat),
    "publish": (f"studio.session.choose(run_id=runs[{FIRST!r}])\nshow('publish')", see_publish),
    "logs": (f"studio.session.choose(run_id=runs[{FAILS!r}])\nshow('logs')", see_logs),
    "studio": (STUDIO, see_studio),
}


def messy_file() -> str:
    """The cell of the data-doctor notebook that writes its file."""
    cells = nbformat.read(ROOT / "notebooks" / "01-data-doctor.ipynb", as_version=4).cells
    return "from pathlib import Path\n" + next(cell.source for cell in cells if "write_text" in cell.source)


@contextmanager
def open_notebook(home: Path) -> Iterator[Notebook]:
    """A notebook with a cell for each panel. None has run but the first, which makes the studio."""
    with (
        tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as machines, open_lab(Path(folder)) as lab,
        rented(Path(machines), width=WIDTH) as made,
    ):  # fmt: skip
        start = messy_file() + START.format(home=str(home), width=WIDTH)
        cells = [start, *(made.get(name, code) for name, (code, _) in PANELS.items())]
        notebook = lab.open(cells, name="orders.ipynb", viewport={"width": 1320, "height": 1600})
        notebook.run(0)
        yield notebook
        for error in notebook.errors:
            print("page error:", error)


def take(notebook: Notebook, what: Locator | Page, path: Path, *, name: str) -> None:
    """One picture a theme."""
    for theme, title in THEMES.items():
        notebook.set_theme(title)
        picture = path / f"{name}-{theme}.png"
        what.screenshot(path=picture, animations="disabled")
        shrink(notebook.page, picture)
        size = picture.stat().st_size
        print(f"{picture.name:24} {size / 1000:5.0f} kB{'  too large' if size > LARGEST_BYTES else ''}")


PIXELS = """async data => { const image = new Image(); image.src = data; await image.decode();
  const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
  const pen = canvas.getContext('2d'); pen.drawImage(image, 0, 0);
  const all = pen.getImageData(0, 0, image.width, image.height).data, rgb = new Uint8Array(all.length / 4 * 3);
  for (let at = 0, to = 0; at < all.length; at += 4) for (let c = 0; c < 3; c++) rgb[to++] = all[at + c];
  const reader = new FileReader(); reader.readAsDataURL(new Blob([rgb]));
  await new Promise(done => { reader.onload = done; });
  return [image.width, image.height, reader.result]; }"""


def shrink(page: Page, picture: Path) -> None:
    """Write a PNG again, as small as zlib can: the browser's own are written in haste. Flat areas want no filter."""
    data = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    width, height, url = page.evaluate(PIXELS, data)
    pixels, row = base64.b64decode(url.partition(",")[2]), 3 * width
    lines = b"".join(b"\0" + pixels[at : at + row] for at in range(0, len(pixels), row))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in chunks
    )
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def main(home: Path, out: Path, only: list[str]) -> None:
    """Train what is missing, then show and take each panel."""
    out.mkdir(parents=True, exist_ok=True)
    hatch_build.build_frontend(ROOT)
    if not only or not WITHOUT_RUNS.issuperset(only):
        train_runs(home)
    if not only or "sidebar" in only:
        take_sidebar(home.resolve(), out)
    if only == ["sidebar"]:
        return
    with open_notebook(home) as notebook:
        for at, (name, (_, see)) in enumerate(PANELS.items()):
            if only and name not in only:
                continue
            notebook.run(at + 1)
            panel = notebook.page.locator(".jp-Cell").nth(at + 1).locator(".ps, .ps-studio").first
            panel.scroll_into_view_if_needed()
            see(panel)
            notebook.page.mouse.move(0, 0)  # nothing of the panel under the pointer
            take(notebook, panel, out, name=name)


def take_sidebar(home: Path, out: Path) -> None:
    """The page as a person sees it: a notebook, and its studio beside it with a run that has completed."""
    with tempfile.TemporaryDirectory() as folder, open_lab(Path(folder)) as lab:
        (Path(folder) / ".home").symlink_to(home)  # the kernel's own, so that no cell need name it
        notebook = lab.open(SIDEBAR, name="orders.ipynb", viewport={"width": 1180, "height": 720})
        page = notebook.page
        notebook.run(0)
        notebook.run(1)
        notebook.command("peft-studio:open")
        side = page.locator("#peft-studio-sidebar")
        side.get_by_role("button", name="Start here").click()
        side.get_by_role("tab", name="Run", exact=True).click()
        expect(side.locator("canvas").first).to_be_visible()
        page.mouse.move(800, 700)  # no tab under the pointer
        take(notebook, page, out, name="sidebar")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panels", nargs="*", help=f"only these: {', '.join([*PANELS, 'sidebar'])}")
    parser.add_argument("--home", type=Path, default=ROOT / ".work" / "pictures")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    given = parser.parse_args()
    main(given.home, given.out, given.panels)
