"""Changing the adapter that answers: ours against peft's own calls, in one process, on the same model and files.

    python benchmarks/adapter_switch.py [--model FOLDER] [--home HOME] [--repeats N]

Five questions, each a ratio against a named peer (a larger one is better for us):

    switch among resident adapters                  peft set_adapter
    the same, the bare base among them              peft set_adapter / disable_adapter_layers
    bring an adapter in from disk, as a new name    peft load_adapter
    bring it in over a resident one                 peft hotswap_adapter
    change the adapter at all                       load the base model and attach it anew

Three adapters of random weights (two of rank 8, one of rank 16: ranks may be mixed) are saved first. Times are medians; ours and
the peer's calls take turns, so that a busy machine slows both. After the timing every adapter's logits are compared, bit for bit,
with those of plain peft on a freshly loaded base. Our time from disk includes the check that the adapter fits.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.hotswap import hotswap_adapter
from transformers.utils import logging

from peft_studio.core.models import find_prepared
from peft_studio.core.models.adapter_files import check_adapter, read_base_shape
from peft_studio.core.models.adapters import BaseShape
from peft_studio.core.system import home_folder
from peft_studio.runner.trainer.load import load_base
from peft_studio.runner.trainer.prepare import prepare_model
from peft_studio.runner.trainer.swap import ResidentAdapters

RANKS = {"a": 8, "b": 8, "c": 16}
GOALS = {"switch": 10, "disk": 5, "reload": 100}
IDS = torch.arange(10, 26)[None]


def save_adapters(model: Path, root: Path) -> dict[str, Path]:
    """Random adapters on every linear layer; ``init_lora_weights=False`` makes them change answers."""
    folders = {}
    for seed, (name, rank) in enumerate(RANKS.items()):
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", init_lora_weights=False)
        folders[name] = root / name
        get_peft_model(load_base(model), config).save_pretrained(folders[name])
    return folders


def take_turns(repeats: int, **calls: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each call; one of each a round, after a round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def show(question: str, ours_s: float, peer: str, peer_s: float, *, goal: int | None) -> bool:
    """Print one line; True when the goal is met, or there is none."""
    ratio = peer_s / ours_s
    verdict = "" if goal is None else f"   goal ≥ {goal}×: {'met' if ratio >= goal else 'NOT met'}"
    print(f"{question:<34} {ours_s * 1e3:9.3f} ms   {peer:<26} {peer_s * 1e3:9.2f} ms   {ratio:8.1f}×{verdict}")
    return goal is None or ratio >= goal


class Bench:
    """Ours and peft side by side: two copies of the base, the same adapters on each."""

    def __init__(self, model: Path, folders: dict[str, Path]) -> None:
        self.model, self.folders = model, folders
        self.shape: BaseShape = read_base_shape(model)
        self.base = load_base(model)
        self.ours = ResidentAdapters(self.base)
        self.peer = PeftModel.from_pretrained(load_base(model), folders["a"], adapter_name="a").eval()
        for name, folder in folders.items():
            self.attach(name, folder)
            if name != "a":
                self.peer.load_adapter(folder, adapter_name=name)
        self._loaded = 0

    def attach(self, name: str, folder: Path) -> None:
        """Ours from disk, as the chat does it: check, then attach."""
        self.ours.attach(name, folder, check_adapter(folder, self.shape))

    def peer_load(self) -> None:
        self._loaded += 1
        self.peer.load_adapter(self.folders["b"], adapter_name=f"extra{self._loaded}")

    def peer_switch(self, name: str | None) -> None:
        if name is None:
            self.peer.base_model.disable_adapter_layers()
        else:
            self.peer.base_model.enable_adapter_layers()
            self.peer.set_adapter(name)

    def reload(self) -> None:
        """The whole way: base from the page cache, adapter attached by peft."""
        PeftModel.from_pretrained(load_base(self.model), self.folders["a"]).eval()

    def compare_outputs(self) -> bool:
        """Every adapter and the base against plain peft on a fresh base: equal to the bit, and different among themselves."""
        seen: list[torch.Tensor] = []
        for name in [None, *RANKS]:
            self.ours.switch(name)
            fresh: Any = load_base(self.model)
            if name is not None:
                fresh = PeftModel.from_pretrained(fresh, self.folders[name]).eval()
            with torch.no_grad():
                found, expected = self.base(IDS).logits, fresh(IDS).logits
            if not torch.equal(found, expected) or any(torch.equal(found, other) for other in seen):
                return False
            seen.append(found)
        return True


def run(bench: Bench, repeats: int) -> bool:
    """Time, print and compare; True when every goal is met and outputs are equal."""
    folders = bench.folders

    def cycle(switch: Callable[[Any], None], names: list[str | None]) -> Callable[[], None]:
        def call() -> None:
            for name in names:
                switch(name)

        return call

    resident: list[str | None] = ["a", "b", "c"]
    turns = take_turns(repeats, ours=cycle(bench.ours.switch, resident), peer=cycle(bench.peer.set_adapter, resident))
    met = show("switch, resident", turns["ours"] / 3, "peft set_adapter", turns["peer"] / 3, goal=GOALS["switch"])
    mixed: list[str | None] = ["a", None, "b", None, "c", None]
    turns = take_turns(repeats, ours=cycle(bench.ours.switch, mixed), peer=cycle(bench.peer_switch, mixed))
    met &= show("switch, base in turn", turns["ours"] / 6, "peft set/disable", turns["peer"] / 6, goal=GOALS["switch"])
    switch_s = turns["ours"] / 6

    count = iter(range(10_000))
    few = max(5, repeats // 10)
    turns = take_turns(few, ours=lambda: bench.attach(f"new{next(count)}", folders["b"]), peer=bench.peer_load)
    met &= show("from disk, new name", turns["ours"], "peft load_adapter", turns["peer"], goal=GOALS["disk"])
    source = iter([folders["a"], folders["b"]] * 10_000)
    turns = take_turns(
        few,
        ours=lambda: bench.attach("new0", next(source)),
        peer=lambda: hotswap_adapter(bench.peer, folders["b"], adapter_name="extra1", torch_device="cpu"),
    )
    met &= show("from disk, over a resident one", turns["ours"], "peft hotswap_adapter", turns["peer"], goal=None)
    reload_s = take_turns(3, peer=bench.reload)["peer"]
    met &= show("switch, resident", switch_s, "base reload + attach", reload_s, goal=GOALS["reload"])
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="smollm2-135m", help="embedded name or local folder")
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--repeats", type=int, default=60)
    args = parser.parse_args()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    home = home_folder(args.home)
    model = find_prepared(args.model, home) or prepare_model(args.model, home)
    with tempfile.TemporaryDirectory() as root:
        with contextlib.redirect_stdout(io.StringIO()):
            bench = Bench(model, save_adapters(model, Path(root)))
        ranks = ", ".join(map(str, RANKS.values()))
        print(
            f"{args.model}, fp32, {len(bench.shape.modules)} weight matrices, adapters of rank {ranks}; {torch.get_num_threads()} threads"
        )
        met = run(bench, args.repeats)
        same = bench.compare_outputs()
    print(
        f"outputs equal to plain peft, bit for bit: {'yes' if same else 'NO'}; the short way is used: {'yes' if bench.ours.fast else 'NO'}"
    )
    for note in bench.ours.notes:
        print(note)
    return 0 if met and same and bench.ours.fast else 1


if __name__ == "__main__":
    sys.exit(main())
