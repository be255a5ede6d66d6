"""What one configuration's training really takes: live bytes, or resident memory. ``memory.py`` calls this.

    python benchmarks/memory_measure.py live FOLDER < CASES        bytes of all live tensors at the peak, operation by operation
    python benchmarks/memory_measure.py dry FOLDER < CASES         what the dry run says
    python benchmarks/memory_measure.py resident FOLDER < CASES    resident memory, without anything that counts

Cases come as lines of JSON and are answered by a line each; FOLDER keeps the models between them. Every case is a process of its
own, forked from one that has the libraries: they take longer to import than most cases to train. Resident memory is that of a
process that was not forked, so only the first case is answered. Training is the runner's own Job: two optimizer steps, rows
as long as they may be.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memory_cases import MODELS
from random_models import write_model

STEPS = 2  # the optimizer's state is there from the second on


def main(argv: list[str]) -> int:
    """Answer each line."""
    what, models = argv[0], Path(argv[1])
    libraries = import_libraries()
    out = os.dup(1)  # a trainer turns standard output into standard error
    for line in sys.stdin:
        # A forked process has pages of its parent without having all of them as resident: this one is measured itself.
        child = 0 if what == "resident" else os.fork()
        if child:
            if os.waitpid(child, 0)[1]:
                os.write(out, b'{"failed": true}\n')
            continue
        found = {"libraries": libraries} if what == "resident" else {}
        found |= measure(what, json.loads(line), models)
        os.write(out, (json.dumps(found) + "\n").encode())
        os._exit(0)
    return 0


def measure(what: str, case: dict[str, Any], models: Path) -> dict[str, Any]:
    """One of ``live``, ``resident`` and ``dry``."""
    model = models / case["model"]
    if not model.exists():
        write_model(case["model"], model, families=MODELS)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        spec = build_spec(case, model, home)
        if what == "dry":
            from peft_studio.runner.trainer.dry_run import dry_run

            found = dry_run(spec, model)
            return {"dry_run": found.peak_bytes}
        return train(spec, home, counts=what == "live")


def build_spec(case: dict[str, Any], model: Path, home: Path) -> Any:
    """The case as a run spec, over rows of its own."""
    from peft_studio import Studio

    fields = {key: value for key, value in case.items() if key != "model"}
    steps = STEPS * fields["gradient_accumulation_steps"]
    rows = home / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in write_rows(fields, 2 * steps * fields["batch_size"])))
    studio = Studio(home)
    split = 0.2 if fields["eval_steps"] else 0.0
    return studio.spec(model=str(model), data=studio.data(str(rows), split=split), max_steps=STEPS, **fields)


def write_rows(fields: dict[str, Any], count: int) -> Iterator[dict[str, str]]:
    """Texts of a byte a token, every second one a little shorter than the longest, so that padding has something to mask.

    For packing they are of four lengths, of which every bin holds some.
    """
    longest = fields["max_length"]
    words = " ".join(str(number) for number in range(longest))
    for number in range(count):
        text = f"{chr(ord('a') + number % 26)}{number} {words}"  # none begins alike
        cut = longest * (number % 4 + 1) // 4 if fields["packing"] else longest
        yield {"text": text[: cut - 3] if number % 2 else text[:cut] if fields["packing"] else text}


class _TrainedError(Exception):
    """The steps are done; what comes after them is not measured."""


def train(spec: Any, home: Path, *, counts: bool) -> dict[str, Any]:
    """Run the job; only its training steps are counted, but all of it is in the resident peak."""
    from peft_studio.core.runs.folder import RunFolder
    from peft_studio.core.runs.metrics import MetricsWriter
    from peft_studio.runner.trainer.channel import Channel
    from peft_studio.runner.trainer.job import Job
    from peft_studio.runner.trainer.live_bytes import LiveBytes
    from peft_studio.runner.trainer.monitor import Monitor

    seen: dict[str, Any] = {}

    class Watched(Job):
        def _train(self, trainer: Any, watch: Any) -> None:
            seen["before_training"] = read_status("VmRSS")
            seen["peak_of_loading"] = read_status("VmHWM")
            forget_peak()
            if not counts:
                super()._train(trainer, watch)
                seen["resident"] = read_status("VmHWM")
                raise _TrainedError
            model = trainer.model
            seen["loop"] = "fast" if "forward" in model.get_base_model().__dict__ else "reference"
            longest = [0]
            inner = trainer.data_collator

            def collate(items: Any) -> Any:
                batch = inner(items)
                longest[0] = max(longest[0], batch["input_ids"].numel())
                return batch

            trainer.data_collator = collate
            with LiveBytes([*model.parameters(), *model.buffers(), *list_constants(model)]) as count:
                seen["before"] = count.now
                super()._train(trainer, watch)
            seen.update(live=count.peak, at=count.peak_at, tokens=longest[0])
            raise _TrainedError

    folder = RunFolder(home / "runs" / "r-1")
    folder.path.mkdir(parents=True)
    folder.spec.write_text(spec.to_json())
    monitor = Monitor(Channel(speaks=False))
    monitor.metrics = MetricsWriter(folder.metrics)
    with contextlib.suppress(_TrainedError):
        Watched(folder, spec, monitor, from_step=0).run()
    if counts:
        return {key: seen[key] for key in ("loop", "before", "live", "at", "tokens")}
    return {key: seen[key] for key in ("before_training", "peak_of_loading", "resident")}


def list_constants(model: Any) -> Iterator[Any]:
    """What bitsandbytes needs to undo its quantisation: tensors that are neither parameters nor buffers."""
    import torch

    for parameter in model.parameters():
        states = [parameter, getattr(parameter, "quant_state", None)]
        states.append(getattr(states[1], "state2", None))
        for state in filter(None.__ne__, states):
            found = (getattr(state, name, None) for name in ("SCB", "absmax", "code", "offset"))
            yield from (one for one in found if isinstance(one, torch.Tensor))


def import_libraries() -> int:
    """Resident bytes once everything is imported that a run uses, and before a model is there."""
    import bitsandbytes  # noqa: F401 - peft imports it with the first adapter

    import peft_studio.runner.trainer.dry_run
    import peft_studio.runner.trainer.job  # noqa: F401

    return read_status("VmRSS")


def read_status(field: str) -> int:
    """A size of this process from the kernel (Linux): VmRSS, or VmHWM, the most there was."""
    words = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(words.split()[1]) * 1024


def forget_peak() -> None:
    """Let VmHWM begin again at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
