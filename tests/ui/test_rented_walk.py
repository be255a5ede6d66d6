"""Rented runs from the browser alone: the table, the question with its money, the run as it goes, its adapter at home, the machine gone, its dollars.

Providers are emulated; their machines really boot, train and end. All of them go through one notebook side by side, because waiting is what takes the time.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from peft_studio.core.runs.log import read_events
from peft_studio.core.services.rent.limits import LAG_VARIABLE
from tests.conftest import end_processes_of, wait_for
from tests.emulators.machine import Machines
from tests.emulators.providers import KEYS, PROVIDERS, count_left, serve
from tests.emulators.runpod import make_gpu
from tests.speed import write_speed
from tests.ui.lab import Lab, Notebook

pytestmark = pytest.mark.slow

START = """
import os
os.environ.update({environment!r})
from peft_studio import Studio
studio = Studio(home={home!r})
for name, key in {keys!r}.items():
    studio.connect(name, key=key, keep=False)
studio.spec(model={model!r}, data=studio.data({rows!r}), name="orders", method="lora", rank=4,
            max_steps=30, batch_size=4, max_length=128, precision="fp32")
studio.show("compute")
"""
LONG_MS = 240_000  # three trainers at once, beside everything else that tests
TITLES = {"runpod": "RunPod", "lambdalabs": "Lambda", "vastai": "Vast.ai"}
SEEN = """wanted => { const seen = window.seen ??= {};
  for (const panel of document.querySelectorAll('.jp-Notebook section.ps')) {
    const words = panel.innerText, provider = wanted.find(one => words.includes(one + ',') && panel.querySelector('.ps-stepper, .ps-progress'));
    if (!provider) continue;
    const live = /^\\s*Training/.test(panel.querySelector('header')?.innerText ?? '');
    if (live && panel.querySelector('.ps-chart canvas') && /Loss, smoothed\\s+\\d/.test(words) && /of \\$2\\.00/.test(words)) seen[provider] = true;
  }
  return wanted.every(one => seen[one]); }"""


@pytest.fixture
def states(tmp_path: Path) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Every provider by name, and the environment that leads to them."""
    with contextlib.ExitStack() as stack:
        found, environment = {}, {LAG_VARIABLE: "1"}
        for name in PROVIDERS:
            machines = stack.enter_context(Machines(tmp_path / f"machines-{name}"))
            found[name], given = stack.enter_context(serve(name, machines))
            environment |= given
        yield found, environment


@pytest.fixture
def notebook(lab: Lab, states: Any, tmp_path: Path, tiny_model: Path, tiny_rows: Path) -> Iterator[Notebook]:
    """A notebook with the Compute panel of a draft, connected to all of them."""
    home = write_speed(tmp_path / "home")
    keys = {name: KEYS[name] for name in PROVIDERS}
    start = START.format(environment=states[1], home=str(home), keys=keys, model=str(tiny_model), rows=str(tiny_rows))
    runs = "from IPython.display import display\nfor run in studio.runs():\n    display(studio.show('run', run.id))"
    opened = lab.open(
        [start, runs, "studio.show('spend')"], name="rented.ipynb", viewport={"width": 1500, "height": 7200}
    )
    opened.run(0)
    yield opened
    errors = opened.errors
    opened.close()
    end_processes_of(home)
    assert errors == []


def rent(panel: Locator, title: str, *, before: str) -> str:
    """Take the first machine of a provider; gives the run's id. ``before``: that of the run before."""
    panel.get_by_role("button", name=re.compile(f"^Choose .* at {re.escape(title)}$")).first.click()
    dialog = panel.get_by_role("dialog", name=re.compile(f"^Rent .* at {re.escape(title)}"))
    dialog.get_by_label("Never more than, in dollars").fill("2")
    expect(dialog.get_by_role("button", name="Rent for at most $2.00")).to_be_visible()
    expect(dialog).to_contain_text("about $")
    expect(dialog).to_contain_text("If this computer is away")
    expect(dialog.get_by_text("cannot end itself")).to_have_count(int(title == "Lambda"))
    for box in dialog.get_by_role("checkbox").all():
        box.uncheck()  # each at its own provider, however slow this machine is
    dialog.get_by_role("button", name="Rent for at most $2.00").click()
    foot = panel.locator(".ps-foot")
    expect(foot).to_contain_text(re.compile(f"Started (?!{before or '-'})r-"))
    return re.search(r"r-[\w-]+", foot.inner_text())[0]  # type: ignore[index]


def test_the_next_machine_where_the_first_does_not_boot(notebook: Notebook, states: Any, tmp_path: Path) -> None:
    """What stays ticked in the question is rented once the first is proven gone; the run's panel names the machine of now, and its log says why."""
    cloud, compute = states[0]["runpod"], notebook.panel()
    cloud.gpus.append(make_gpu("NVIDIA RTX A4000", 16, secure=0.41))
    cloud.provisioning_s = 3600.0  # it never comes up
    states[0]["vastai"].asks.clear()  # no more than three are offered as the next
    compute.get_by_role("button", name="Look again").click()
    expect(compute.get_by_role("row", name="A4000")).to_be_visible(timeout=LONG_MS)
    expect(compute.get_by_role("row", name="Vast.ai")).to_have_count(0)
    compute.get_by_role("button", name="Choose NVIDIA L4 at RunPod", exact=True).click(timeout=LONG_MS)
    dialog = compute.get_by_role("dialog", name="Rent NVIDIA L4 at RunPod")
    dialog.get_by_label("Never more than, in dollars").fill("2")
    for box in dialog.get_by_role("checkbox").all():
        box.set_checked("A4000" in (box.locator("..").text_content() or ""))
    expect(dialog.get_by_role("checkbox", checked=True)).to_have_count(1)
    dialog.get_by_role("button", name="Rent for at most $2.00").click()
    expect(compute.locator(".ps-foot")).to_contain_text(re.compile("Started r-"))
    notebook.run(1)
    run = notebook.panel(1)
    expect(run.locator(".ps-sub")).to_contain_text("RunPod, NVIDIA L4")
    expect(run.locator("header").first).to_contain_text("Provisioning")
    first = wait_for(lambda: next(iter(cloud.pods.values()), None), "the first machine")
    with cloud.lock:
        cloud.halt(first, "ERROR")  # its host gives up
        cloud.provisioning_s = 0.0
    expect(run.locator(".ps-sub")).to_contain_text("RunPod, NVIDIA RTX A4000")
    assert [pod.id for pod in cloud.gone] == [first.id]
    (second,) = wait_for(lambda: list(cloud.pods.values()), "the next machine")
    assert second.made_at > first.gone_at
    expect(run.get_by_role("log")).to_contain_text("Its machine failed. It is gone")
    expect(run.locator("header").first).to_contain_text("Training", timeout=LONG_MS)
    expect(run.locator(".ps-tiles")).to_contain_text("of $2.00")


def told(log: Path) -> list[str]:
    """Kinds of events in a run's log."""
    return [event.type for event in read_events(log)]


def test_from_the_table_to_the_bill(notebook: Notebook, states: Any, tmp_path: Path) -> None:
    """For every provider: what is confirmed is rented once, is watched as it trains, comes home, is gone over there and stands in the books."""
    clouds, compute = states[0], notebook.panel()
    expect(compute.get_by_role("row", name=re.compile("RunPod"))).to_be_visible()
    runs: dict[str, str] = {}
    for name in PROVIDERS:
        runs[name] = rent(compute, TITLES[name], before=list(runs.values())[-1] if runs else "")
    notebook.run(1)
    notebook.page.wait_for_function(SEEN, arg=[TITLES[name] for name in PROVIDERS], timeout=LONG_MS)
    for at in range(len(runs)):
        expect(notebook.panel(1 + at).locator("header").first).to_contain_text("Completed", timeout=LONG_MS)
    for name, run_id in runs.items():
        folder = tmp_path / "home" / "runs" / run_id
        assert (folder / "adapter" / "adapter_model.safetensors").is_file(), name
        log = folder / "events.jsonl"
        wait_for(lambda log=log: "machine_gone" in told(log), f"{name}: the proof that it is gone", timeout_s=90)  # type: ignore[misc]
        assert told(log).count("machine") == 1, name
        assert count_left(clouds[name]) == 0, name
    notebook.run(2)
    spend = notebook.panel(1 + len(runs))
    expect(spend.locator("header").first).to_contain_text("nothing is on the meter")
    expect(spend.get_by_role("region", name="Machines now")).to_have_count(0)
    by_provider = spend.get_by_role("region", name="By provider").get_by_role("row")
    expect(by_provider).to_have_count(1 + len(runs))
    expect(by_provider.filter(has_text="$")).to_have_count(len(runs))
