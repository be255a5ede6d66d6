"""Real tokens a second of LoRA training: ours against bare scripts of Trainer + peft, TRL and Unsloth, on the same job.

    python benchmarks/training_throughput.py --model FOLDER [--precision auto] [--loss both] [--rounds 3] [--steps 6]
    python benchmarks/training_throughput.py --make-unsloth-env DIR        # once: its pins conflict with ours
    python benchmarks/training_throughput.py --model FOLDER --unsloth-python DIR/bin/python

Every contender is a process of its own (this file with ``--contender``), fed the same token ids in the same order, and timed by
a Trainer callback from the beginning of a step to its end; the first step is dropped. Rounds are interleaved. Tokens are those
of the rows, never padding. ``--model`` is a folder with safetensors, such as
``python -m peft_studio.runner prepare smollm2-135m`` makes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH = 4
CAP_TOKENS = 256
LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": "all-linear"}
NAMES = ("Ada", "Grace", "Linus", "Margaret", "Dennis", "Barbara", "Ken", "Radia", "Edsger", "Frances")
CITIES = ("Lisbon", "Oslo", "Nairobi", "Kyoto", "Quito", "Tallinn", "Dunedin", "Porto")
TRADES = ("glass blower", "harbour pilot", "cartographer", "luthier", "beekeeper", "typesetter")


# -- the job ---------------------------------------------------------------------------------------------------------------


def build_rows(folder: str, count: int, *, completion_only: bool) -> list[dict[str, list[int]]]:
    """One to three records a row, sentence to JSON, in the model's own chat template; about 30 % padding at batch 4."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    chance = random.Random(7)
    rows = []
    for _ in range(count):
        records = [
            {"name": chance.choice(NAMES), "age": chance.randint(20, 80), "city": chance.choice(CITIES), "job": chance.choice(TRADES)}
            for _ in range(chance.randint(1, 3))
        ]
        asked = " ".join(f"{r['name']}, {r['age']}, lives in {r['city']} and works as a {r['job']}." for r in records)
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": json.dumps(records)}]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        prompt = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][:CAP_TOKENS]
        start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) if completion_only else 0
        rows.append({"input_ids": ids, "labels": [-100] * start + ids[start:]})
    return rows


def padding_share(rows: list[dict[str, list[int]]]) -> float:
    """Share of a padded batch that is padding, over all batches."""
    batches = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
    padded = sum(len(batch) * max(len(row["input_ids"]) for row in batch) for batch in batches)
    return 1 - sum(len(row["input_ids"]) for row in rows) / padded


# -- the contenders (each in its own process) -------------------------------------------------------------------------------


def load_model(folder: str, precision: str) -> Any:
    """Base model with a fresh adapter, the same for every contender of one environment."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, set_seed

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    set_seed(0)
    return get_peft_model(base, LoraConfig(**LORA, task_type="CAUSAL_LM"))


def arguments(cls: Any, precision: str, steps: int, **more: Any) -> Any:
    """Training arguments that every contender shares."""
    return cls(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=BATCH,
        max_steps=steps,
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        optim="adamw_torch",
        bf16=precision == "bf16",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        gradient_checkpointing=False,
        train_sampling_strategy="sequential",
        use_cpu=True,
        seed=0,
        **more,
    )


def step_clock() -> tuple[Any, list[float], list[float]]:
    """A callback that fills the seconds and the losses of every optimizer step."""
    from transformers import TrainerCallback

    seconds: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):
        began = 0.0

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            seconds.append(time.perf_counter() - self.began)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                losses.append(logs["loss"])

    return Clock(), seconds, losses


def run_trainer(job: dict[str, Any], *, collator: Any = None, prepare: Callable[[Any], None] | None = None) -> tuple[list[float], list[float]]:
    """``transformers.Trainer`` + peft. The collator decides padded (None: pad to the longest) or flat."""
    from transformers import Trainer, TrainingArguments

    model = load_model(job["model"], job["precision"])
    if prepare:
        prepare(model)
    clock, seconds, losses = step_clock()
    args = arguments(TrainingArguments, job["precision"], job["steps"], remove_unused_columns=False)
    Trainer(model, args, data_collator=collator or pad, train_dataset=job["rows"], callbacks=[clock]).train()
    return seconds, losses


def pad(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    """The usual collator: fill up to the longest row."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "labels": -100}
    batch = {name: torch.tensor([[*row[name], *[no] * (width - len(row[name]))] for row in rows]) for name, no in fill.items()}
    real = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
    return {**batch, "attention_mask": torch.tensor(real)}


def run_flattening(job: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Trainer with transformers' own padding-free collator: what a reader of its manual could do."""
    from transformers import DataCollatorWithFlattening

    return run_trainer(job, collator=DataCollatorWithFlattening())


def run_ours(job: dict[str, Any], *, share_prefix: bool = False) -> tuple[list[float], list[float]]:
    """The same Trainer with our fast path installed, after its equality check."""
    from peft_studio.runner.trainer import fast

    def prepare(model: Any) -> None:
        reason = fast.unsupported(model)
        difference = fast.compare(model, job["rows"][:2], share_prefix=share_prefix)
        if reason or not difference.within:
            raise SystemExit(reason or str(difference))
        print(difference, file=sys.stderr)
        fast.install(model)

    return run_trainer(job, collator=fast.FlatCollator(share_prefix=share_prefix), prepare=prepare)


def run_sft(job: dict[str, Any], *, model: Any = None, **more: Any) -> tuple[list[float], list[float]]:
    """``trl.SFTTrainer`` on the same token ids."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    clock, seconds, losses = step_clock()
    args = arguments(SFTConfig, job["precision"], job["steps"], max_length=None, **more)
    model = model or load_model(job["model"], job["precision"])
    SFTTrainer(model, args, train_dataset=Dataset.from_list(job["rows"]), callbacks=[clock]).train()
    return seconds, losses


def run_unsloth(job: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Unsloth's model and its patched SFTTrainer, in its own environment."""
    unsloth = importlib.import_module("unsloth")  # must come before trl and transformers
    import torch

    model, _ = unsloth.FastLanguageModel.from_pretrained(
        job["model"],
        max_seq_length=CAP_TOKENS,
        load_in_4bit=False,
        dtype=torch.bfloat16 if job["precision"] == "bf16" else torch.float32,
    )
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = unsloth.FastLanguageModel.get_peft_model(
        model, **{**LORA, "target_modules": targets}, use_gradient_checkpointing=False, random_state=0
    )
    return run_sft(job, model=model)


CONTENDERS: dict[str, Callable[[dict[str, Any]], tuple[list[float], list[float]]]] = {
    "trainer": run_trainer,
    "trainer-flat": run_flattening,
    "trl": run_sft,
    "trl-padding-free": lambda job: run_sft(job, padding_free=True),
    "unsloth": run_unsloth,
    "ours": run_ours,
    "ours-prefix": lambda job: run_ours(job, share_prefix=True),
}


# -- the parent --------------------------------------------------------------------------------------------------------------


def measure(name: str, job_file: Path, python: str) -> dict[str, Any] | None:
    """Run one contender in its own process; None, with its words on stderr, if it failed."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, __file__, "--contender", name, "--job", str(job_file)], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        print(f"{name} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def show(results: dict[str, list[dict[str, Any]]], tokens: list[int]) -> None:
    """Print the table: median tokens/s over rounds, ratio to the fastest peer, and the loss curves."""
    speeds = {
        name: [sum(tokens[1:]) / sum(run["seconds"][1:]) for run in runs] for name, runs in results.items() if runs
    }
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    peers = {name: value for name, value in medians.items() if not name.startswith("ours")}
    best = max(peers, key=lambda name: peers[name]) if peers else next(iter(medians))
    reference = results["trainer"][0]["losses"] if results.get("trainer") else None
    print(f"| contender | tok/s median (min–max) | vs {best} | vs {best}, per round | losses | max difference from trainer |")
    print("|---|---|---|---|---|---|")
    for name, values in sorted(speeds.items(), key=lambda item: medians[item[0]]):
        losses = results[name][0]["losses"]
        apart = f"{max(abs(a - b) for a, b in zip(losses, reference, strict=True)):.4f}" if reference else "—"
        rounds = " ".join(f"{a / b:.2f}" for a, b in zip(values, speeds[best], strict=False))
        print(
            f"| {name} | {medians[name]:.0f} ({min(values):.0f}–{max(values):.0f}) | {medians[name] / medians[best]:.2f} | {rounds} "
            f"| {' '.join(f'{loss:.3f}' for loss in losses)} | {apart} |"
        )


def compete(options: argparse.Namespace, *, completion_only: bool) -> None:
    """Run all rounds of one job and print its table."""
    rows = build_rows(options.model, BATCH * options.steps, completion_only=completion_only)
    tokens = [sum(len(row["input_ids"]) for row in rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
    kind = "completion-only loss" if completion_only else "full-sequence loss"
    trained = sum(label != -100 for row in rows for label in row["labels"]) / sum(tokens)
    print(
        f"\n{kind}: {options.precision}, batch {BATCH}, {options.steps} steps, {options.rounds} rounds, "
        f"{statistics.mean(tokens):.0f} tokens a step, {padding_share(rows):.0%} padding if padded, {trained:.0%} of tokens trained\n"
    )
    pythons = {"unsloth": options.unsloth_python}
    names = [name for name in options.contenders if pythons.get(name, sys.executable)]
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        job_file = Path(folder, "job.json")
        job = {"model": options.model, "precision": options.precision, "steps": options.steps, "rows": rows}
        job_file.write_text(json.dumps(job))
        for number in range(options.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                result = measure(name, job_file, pythons.get(name, sys.executable))
                if result:
                    results[name].append(result)
    show(results, tokens)


def make_unsloth_env(folder: Path) -> None:
    """Build Unsloth's environment. Its metadata asks for torchvision and xformers, which have no CPU build, so it comes without
    its dependencies and what it really imports is named here; torch is pinned, or pip would fall back to a release of 2024."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    pinned = ["torch==2.13.0", "transformers==5.17.0", "trl==1.15.0", "datasets>=4.2,<5,!=4.4.*,!=4.5.0", "peft>=0.18"]
    needed = ["accelerate", "bitsandbytes", "diffusers", "hf_transfer", "json5", "msgspec", "nest-asyncio", "pillow", "protobuf"]
    needed += ["psutil", "regex", "rich", "sentencepiece", "setuptools", "structlog", "triton>=3", "typer", "tyro", "wheel"]
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "--upgrade", "pip"], check=True)
    subprocess.run([*install, *pinned, *needed], check=True)
    subprocess.run([*install, "--no-deps", "unsloth==2026.10.9", "unsloth_zoo==2026.10.9", "cut_cross_entropy"], check=True)


def fastest_precision() -> str:
    """bf16 where the CPU multiplies it in hardware, else fp32."""
    import torch

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(256, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
        began = time.perf_counter()
        for _ in range(3):
            torch.nn.functional.linear(a, b)
        return time.perf_counter() - began

    seconds(torch.float32)
    return "bf16" if seconds(torch.bfloat16) < seconds(torch.float32) else "fp32"


def main() -> None:
    """Parent or one contender, by the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of the base model")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    parser.add_argument("--loss", choices=("both", "full", "completion"), default="both")
    parser.add_argument("--steps", type=int, default=6, help="optimizer steps of a process; the first is dropped")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--unsloth-python", help="interpreter of the environment made by --make-unsloth-env")
    parser.add_argument("--make-unsloth-env", type=Path, metavar="DIR")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make_unsloth_env:
        make_unsloth_env(options.make_unsloth_env)
    elif options.contender:
        seconds, losses = CONTENDERS[options.contender](json.loads(options.job.read_text()))
        print(json.dumps({"seconds": seconds, "losses": losses}))
    elif not options.model:
        parser.error("--model is needed")
    else:
        options.precision = fastest_precision() if options.precision == "auto" else options.precision
        for completion_only in {"both": (False, True), "full": (False,), "completion": (True,)}[options.loss]:
            compete(options, completion_only=completion_only)


if __name__ == "__main__":
    main()
