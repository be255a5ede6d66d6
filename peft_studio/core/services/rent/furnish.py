"""Brings a rented machine what a run needs, and has the run's agent started there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from peft_studio.core.errors import NotAuthorised
from peft_studio.core.ports.node import Node
from peft_studio.core.ports.offers import Offer
from peft_studio.core.redact import Secret
from peft_studio.core.runs.checkpoints import find_newest
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.services.rent.hub_pass import ENDPOINT, TOKEN, find_endpoint_of
from peft_studio.core.services.rent.luggage import build_package, pack, write_spec
from peft_studio.core.services.rent.offer_specs import load_spec_for

TokenOf = Callable[[RunFolder], Secret | None]
"""The hub's token where a run's machine does not get its base model without one; None for others."""


class Furnisher:
    """Of one run.

    Args:
        model: The base model's folder where the machine cannot get it from a hub, else who has the hub's token for it.
        offer: What its machine is: its card may need another spec than the run's own.
        gets_on: Told of each step.
        pause: Waits a moment between two looks; false when there is nothing more to wait for.
    """

    def __init__(
        self,
        mirror: Mirror,
        model: Path | TokenOf | None,
        *,
        offer: Offer | None,
        gets_on: Callable[[], None],
        pause: Callable[[], bool],
    ) -> None:
        self._mirror, self._folder = mirror, mirror.folder
        self._token_of = model if callable(model) else None
        self._model = model if isinstance(model, Path) else None
        self._offer, self._gets_on, self._pause = offer, gets_on, pause

    def furnish(self, node: Node) -> float | None:
        """Send everything and start. Our log goes last: from then on the machine writes it, and nobody here.

        Returns:
            How many seconds the machine installed, where it says so.
        """
        self._mirror.phase("sending")
        with tempfile.TemporaryDirectory() as made:
            self._send(node, build_package(Path(made) / "package.whl"), "package.whl")
            there = node.status().folder
            spec = write_spec(
                load_spec_for(self._folder, self._offer), Path(made) / "spec.json", there=there, model=self._model
            )
            self._send(node, spec, "spec.json")
        items = pack(self._folder, model=self._model)
        for item in items:
            if item.name != "events.jsonl":
                self._send(node, item.path, item.name)
        self._until_ready(node)
        for item in items:
            if item.name == "events.jsonl":
                self._send(node, item.path, item.name)
        self.start(node, from_step=find_newest(self._folder.checkpoints) or 0)
        installed = [phase.seconds for phase in node.status().phases if phase.name == "installing"]
        return installed[0] if installed else None

    def _send(self, node: Node, path: Path, name: str) -> None:
        """Bring a file. On a home's line a base model takes hours, and each piece of it is progress."""
        node.upload(path, name, told=self._told)
        self._told()

    def _told(self) -> None:
        self._gets_on()
        self._mirror.beat()

    def start(self, node: Node, *, from_step: int) -> None:
        """Have the agent started. A base model that the hub does not give to everybody comes with our token, which goes first."""
        node.start(from_step=from_step, needs=self._give(node))

    def give_again(self, node: Node, wants: tuple[str, ...]) -> None:
        """Give it the secrets for which its start waits: the door that had them died before it came to that.

        Raises:
            NotAuthorised: They are not kept here any more.
        """
        if not set(wants) <= set(self._give(node)):
            raise NotAuthorised(
                "The run's machine waits for the hub's token, which is not kept here any more.",
                hint='studio.connect("huggingface", token=…): it goes on by itself.',
            )

    def _give(self, node: Node) -> tuple[str, ...]:
        """The names of what was given."""
        token = self._token_of(self._folder) if self._token_of else None
        if not token:
            return ()
        node.give_secret(TOKEN, token)
        if not (endpoint := find_endpoint_of(self._folder)):
            return (TOKEN,)
        node.give_secret(ENDPOINT, Secret(endpoint))
        return TOKEN, ENDPOINT

    def _until_ready(self, node: Node) -> None:
        """Until what training needs is installed there. As long as it prints or its disk fills, it gets on with it."""
        seen: object = None
        while True:
            status = node.status()
            if status.phase in ("ready", "failed"):
                return
            signs = status.phase, status.log[-1:], status.free_bytes
            if signs != seen:
                self._gets_on()
            seen = signs
            self._mirror.phase("installing" if status.phase == "installing" else "sending", status.phase)
            self._mirror.beat()
            if not self._pause():
                return


def find_newest_there(names: list[str]) -> int:
    """The step of the newest whole checkpoint among a machine's files; 0 for none."""
    whole = [name.split("/") for name in names if name.endswith("/MANIFEST.json")]
    steps = [
        int(parts[1].removeprefix("checkpoint-"))
        for parts in whole
        if len(parts) == 3 and parts[0] == "checkpoints" and parts[1].startswith("checkpoint-")
    ]
    return max(steps, default=0)
