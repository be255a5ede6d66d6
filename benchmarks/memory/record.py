"""Records the ground truth that memory estimates are held against: what training steps really needed here.

    python -m benchmarks.memory.record            all configurations, into cpu.json beside this file (about half an hour)
    python -m benchmarks.memory.record one JSON   one configuration, printed

Each configuration trains three optimizer steps through the runner's own Job, in a process of its own, twice: once counting the bytes of
live tensors operation by operation, once for the peak of resident memory with glibc's mmap threshold fixed at 64 KiB. Weights are
random and rows are cut at max_length, so every micro-batch is as long as it can be. Neither speed nor values decide memory.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.memory.cases import CASES, MODELS, name_of

TRUTH = Path(__file__).with_name("cpu.json")
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def main(argv: list[str]) -> int:
    """See the module."""
    if argv[:1] == ["one"]:
        print(json.dumps(measure_here(json.loads(argv[1]), live=argv[2:] == ["live"])))
        return 0
    rows = json.loads(TRUTH.read_text()) if TRUTH.exists() else []
    known = {name_of(row["case"]) for row in rows}
    for case in CASES:
        if name_of(case) in known:
            continue
        row = {"case": case, **run_one(case, live=True), **run_one(case, live=False)}
        rows.append(row)
        TRUTH.write_text(json.dumps(rows, indent=1) + "\n")
        print(name_of(case), {key: value for key, value in row.items() if key != "case"}, flush=True)
    return 0


def run_one(case: dict[str, Any], *, live: bool) -> dict[str, Any]:
    """One configuration in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory.record", "one", json.dumps(case), "live" if live else "rss"]
    done = subprocess.run(command, env={**os.environ, **ALLOCATOR}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name_of(case)} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_here(case: dict[str, Any], *, live: bool) -> dict[str, Any]:
    """Train three steps of a configuration in this process."""
    from peft_studio import Studio
    from peft_studio.core.runs.folder import RunFolder
    from peft_studio.runner.trainer.channel import Channel
    from peft_studio.runner.trainer.job import Job
    from peft_studio.runner.trainer.live_bytes import LiveBytes
    from peft_studio.runner.trainer.monitor import Monitor

    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        fields = {key: value for key, value in case.items() if key != "model"}
        data = home / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in write_rows(fields["max_length"], 3 * fields["batch_size"])))
        studio = Studio(home)
        spec = studio.spec(
            model=str(write_model(case["model"], home / "model")), data=studio.data(str(data)), max_steps=3,
            gradient_accumulation_steps=1, **fields,
        )  # fmt: skip
        folder = RunFolder(home / "runs" / "r-1")
        folder.path.mkdir(parents=True)
        folder.spec.write_text(spec.to_json())
        seen: dict[str, Any] = {"imports_bytes": peak_rss_bytes()}

        class Watched(Job):
            def _train(self, trainer: Any, watch: Any) -> None:
                model = trainer.model
                seen["loop"] = "fast" if "forward" in model.get_base_model().__dict__ else "reference"
                if not live:
                    reset_peak_rss()
                    super()._train(trainer, watch)
                    seen["rss_bytes"] = peak_rss_bytes()
                    return
                with LiveBytes([*model.parameters(), *model.buffers()]) as count:
                    seen["static_bytes"] = count.now
                    super()._train(trainer, watch)
                seen["live_bytes"], seen["live_at"] = count.peak, count.peak_at

        monitor = Monitor(Channel(speaks=False))
        from peft_studio.core.runs.metrics import MetricsWriter

        monitor.metrics = MetricsWriter(folder.metrics)
        Watched(folder, spec, monitor, from_step=0).run()
    return seen


def write_rows(max_length: int, count: int) -> Iterator[dict[str, str]]:
    """Texts of a byte a token, every second one a little shorter than the longest, so that padding has something to mask."""
    words = " ".join(str(number) for number in range(max_length))
    for number in range(count):
        text = f"{chr(ord('a') + number)} {words}"  # none begins alike
        yield {"text": text[: max_length - 3] if number % 2 else text}


def write_model(name: str, folder: Path) -> Path:
    """A model with random weights and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    family, fields = MODELS[name]
    AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **fields)).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={"<s>": 0, "</s>": 1, **{one: at + 2 for at, one in enumerate(alphabet)}}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def reset_peak_rss() -> None:
    """Start the high-water mark again (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_rss_bytes() -> int:
    """The high-water mark of resident memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
