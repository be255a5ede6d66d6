"""One run of the product with keys everywhere a person has them: ``python -m tests.e2e.canary_run HOME MODEL ROWS``, the keys on standard input.

Everything is logged and shown as loudly as can be: records of every library, tracebacks with local variables, states of all panels.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil


class Keys:
    """What was given, each to be taken once. It shows nothing: a traceback prints local variables of this file, too."""

    def __init__(self, given: dict[str, str]) -> None:
        self._pop = given.pop  # a method shows where it is, not what it holds
        self._count = sum(name.isdigit() for name in given)

    def __len__(self) -> int:
        return self._count

    def take(self, name: str) -> Any:
        """A key, as the handle of one."""
        from peft_studio.core.vault import Secret

        return Secret(self._pop(name))


@contextlib.contextmanager
def failing() -> Iterator[None]:
    """What is inside has to fail; the traceback is printed with every local variable of ours and of libraries."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be shown
        print(*traceback.TracebackException.from_exception(error, capture_locals=True).format())
    else:
        raise AssertionError("that should have failed")


def main(home: str, model: str, rows: str) -> None:
    """Connect, search, fail to connect, train, fail to train, chat; show everything; keep what is kept."""
    from peft_studio import Studio
    from peft_studio.core.vault import find_offered

    keys = Keys(json.load(sys.stdin))
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    studio = Studio(home=home)
    studio.vault.move("passphrase", keys.take("passphrase"))
    studio.connect("huggingface", token=keys.take("hub"))
    for number in range(len(keys)):
        studio.vault.set(f"kept.{number}", keys.take(str(number)))
    print(find_offered(), studio.vault, studio.vault.tier, studio.vault.names(), studio.vault.get("kept.0"))
    with failing():
        studio.connect("huggingface", token=keys.take("wrong").reveal())
    print(studio.connections(check=True), studio.connections()._repr_html_())
    print(studio.models("smollm"), studio.model_details("org/smollm2"))
    run = train(studio, model, rows)
    publish(studio, run)
    with failing():
        fail(studio, run.spec)
    with studio.chat(model, adapters={"a": run.adapter}) as chat:
        print(chat.ask("hello", adapter="a", max_new_tokens=4))
    show(studio)


def train(studio: Any, model: str, rows: str) -> Any:
    """A short run, asked about in every way."""
    spec = studio.spec(
        model=model, data=rows, rank=4, max_steps=3, batch_size=4, max_length=128, precision="fp32", name="canary"
    )
    print(spec.explain(), studio.check(spec), studio.quote(spec, measure=False))
    run = studio.launch(spec).wait(300)
    print(run, run.metrics(), list(run.events()), list(run.logs()), studio.runs())
    studio.export(run, str(studio.home / "setup.json"))
    return run


def publish(studio: Any, run: Any) -> None:
    """A plan, a push, and one that waits for the network."""
    plan = studio.push(run.adapter, to="huggingface", repo="ann/canary")
    print(plan, plan._repr_html_(), plan.card)
    print(studio.push(run.adapter, to="huggingface", repo="ann/canary", confirm=True), studio.publications())
    studio.offline = "on a plane"
    print(studio.push(run.adapter, to="huggingface", repo="ann/later", confirm=True), studio.outbox)
    studio.offline = False
    print(studio.sync(), studio.outbox)


def fail(studio: Any, spec: Any) -> None:
    """A run whose trainer is killed."""
    run = studio.launch(spec.replace(name="killed", max_steps=500))
    for event in run.events():
        print(event)
        if event.type == "phase" and event.phase == "training":
            for process in psutil.process_iter():
                if run.id in " ".join(process.cmdline()) and "train" in process.cmdline():
                    process.kill()
    print(run.failure)
    run.wait(60)


def show(studio: Any) -> None:
    """Everything that a notebook would keep of every panel."""
    from peft_studio.widgets import STEPS

    for name in (None, *STEPS):
        panel = studio.panel(name)
        print(json.dumps(panel.get_state(), default=repr), panel._repr_mimebundle_(), panel.code)
    print(studio.errors)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(*sys.argv[1:])
