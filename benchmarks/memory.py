"""How far estimates of a training step's memory are from what the step really holds.

    python benchmarks/memory.py            every configuration (some minutes)
    python benchmarks/memory.py tiny       those of the models whose name begins so

Each configuration trains three optimizer steps through the runner's own Job in a process of its own, while the bytes of all live
tensors are counted operation by operation. Beside that stand the dry run, which goes through the same modules with tensors that
have no content, and the closed form, which knows config.json alone. Weights are random and rows are as long as they may be:
neither values nor speed decide memory. Resident memory is printed too, with glibc's mmap threshold fixed at 64 KiB: it is what the
libraries take, 0.5 GB, and what the allocator adds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
TOKENS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny-llama": ("llama", {
        "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 4096, "max_position_embeddings": 2048, "tie_word_embeddings": True, **TOKENS,
    }),
    "qwen2-20m": ("qwen2", {
        "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2,
        "vocab_size": 16384, "max_position_embeddings": 2048, "tie_word_embeddings": False, **TOKENS,
    }),
    "gpt2-50m": ("gpt2", {"n_embd": 512, "n_layer": 8, "n_head": 8, "vocab_size": 32768, "n_positions": 1024, **TOKENS}),
    "smollm2-135m": ("llama", {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "vocab_size": 49152, "max_position_embeddings": 8192, "tie_word_embeddings": True, **TOKENS,
    }),
}  # fmt: skip
SIZES = ((2, 128), (4, 256))


def main(argv: list[str]) -> int:
    """Measure, and print a line each and the errors together."""
    if argv[:1] == ["--one"]:
        with os.fdopen(os.dup(1), "w") as out:  # a trainer turns standard output into standard error
            print(json.dumps(measure(json.loads(argv[1]))), file=out)
        return 0
    errors: dict[str, list[float]] = {"dry run": [], "closed form": []}
    for case in build_cases(argv[0] if argv else ""):
        found = run_apart(case)
        counted = found["counted"]
        for name, key in (("dry run", "dry"), ("closed form", "closed")):
            errors[name].append(found[key] / counted - 1)
        print(f"{name_of(case):58} {found['loop']:9} counted {counted / 1e6:8.1f} MB, dry run {errors['dry run'][-1]:+.1%}, "
              f"closed form {errors['closed form'][-1]:+.1%}, resident {found['resident'] / 1e6:.0f} MB", flush=True)  # fmt: skip
    for name, each in errors.items():
        sizes = [abs(error) for error in each]
        print(f"{name}: mean {statistics.mean(sizes):.2%}, worst {max(sizes):.2%} of {len(sizes)}")
    return 0


def build_cases(model: str) -> Iterator[dict[str, Any]]:
    """LoRA with and without checkpointing, in both loops, at two sizes; DoRA at one."""
    for name, (batch, length) in product((one for one in MODELS if one.startswith(model)), SIZES):
        common = {"model": name, "batch_size": batch, "max_length": length}
        for saves, loop in product((False, True), ("auto", "reference")):
            if loop == "auto" or not name.startswith("gpt2"):  # which has the reference loop alone
                yield {**common, "method": "lora", "gradient_checkpointing": saves, "loop": loop}
        if (batch, length) == SIZES[0]:
            yield {**common, "method": "dora", "gradient_checkpointing": False, "loop": "auto"}


def name_of(case: dict[str, Any]) -> str:
    """A configuration in a few words."""
    saves = " checkpointed" if case["gradient_checkpointing"] else ""
    return f"{case['model']} {case['method']} {case['batch_size']}x{case['max_length']}{saves} {case['loop']}"


def run_apart(case: dict[str, Any]) -> dict[str, Any]:
    """One configuration in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps(case)]
    environment = {**os.environ, **ALLOCATOR, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name_of(case)} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Count three real steps of a configuration, and estimate them."""
    from peft_studio import Studio
    from peft_studio.core.estimators import StepShape, count_training_bytes
    from peft_studio.core.models.facts import read_config
    from peft_studio.core.models.shapes import build_model_shapes
    from peft_studio.runner.trainer.dry_run import dry_run

    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        fields = {key: value for key, value in case.items() if key != "model"}
        data = home / "rows.jsonl"
        data.write_text(
            "".join(json.dumps(row) + "\n" for row in write_rows(fields["max_length"], 3 * fields["batch_size"]))
        )
        folder = write_model(case["model"], home / "model")
        studio = Studio(home)
        spec = studio.spec(
            model=str(folder), data=studio.data(str(data)), max_steps=3, gradient_accumulation_steps=1, **fields
        )
        counted, loop = count_real_steps(spec, home)
        shapes = build_model_shapes(read_config(folder))
        assert shapes is not None
        step = StepShape(
            tokens=spec.batch_size * spec.max_length, rank=spec.rank, targets=spec.target_modules, precision=spec.precision,
            dora=spec.method == "dora", dropout=spec.dropout, checkpointing=spec.gradient_checkpointing, fast=loop == "fast",
        )  # fmt: skip
        closed = sum(count_training_bytes(shapes, step).values())
        resident = peak_resident_bytes()
        return {
            "counted": counted,
            "loop": loop,
            "dry": dry_run(spec, folder).peak_bytes,
            "closed": closed,
            "resident": resident,
        }


def count_real_steps(spec: Any, home: Path) -> tuple[int, str]:
    """Bytes alive at the peak of training, and the loop that the run took."""
    from peft_studio.core.runs.folder import RunFolder
    from peft_studio.core.runs.metrics import MetricsWriter
    from peft_studio.runner.trainer.channel import Channel
    from peft_studio.runner.trainer.job import Job
    from peft_studio.runner.trainer.live_bytes import LiveBytes
    from peft_studio.runner.trainer.monitor import Monitor

    seen: dict[str, Any] = {}

    class Counted(Job):
        def _train(self, trainer: Any, watch: Any) -> None:
            model = trainer.model
            seen["loop"] = "fast" if "forward" in model.get_base_model().__dict__ else "reference"
            with LiveBytes([*model.parameters(), *model.buffers()]) as count:
                super()._train(trainer, watch)
            seen["bytes"] = count.peak

    folder = RunFolder(home / "runs" / "r-1")
    folder.path.mkdir(parents=True)
    folder.spec.write_text(spec.to_json())
    monitor = Monitor(Channel(speaks=False))
    monitor.metrics = MetricsWriter(folder.metrics)
    Counted(folder, spec, monitor, from_step=0).run()
    return seen["bytes"], seen["loop"]


def write_rows(max_length: int, count: int) -> Iterator[dict[str, str]]:
    """Texts of a byte a token, every second one a little shorter than the longest, so that padding has something to mask."""
    words = " ".join(str(number) for number in range(max_length))
    for number in range(count):
        text = f"{chr(ord('a') + number)} {words}"  # none begins alike
        yield {"text": text[: max_length - 3] if number % 2 else text}


def write_model(name: str, folder: Path) -> Path:
    """A model with random weights, and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    family, fields = MODELS[name]
    AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **fields)).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0, "</s>": 1, **{one: at + 2 for at, one in enumerate(alphabet)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def peak_resident_bytes() -> int:
    """The most resident memory this process has had (Linux)."""
    words = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(words.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
