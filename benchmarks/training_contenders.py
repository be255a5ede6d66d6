"""One contender of ``training_throughput.py`` in a process of its own: the job, and each trainer's bare script for it.

python benchmarks/training_contenders.py NAME JOB.json        # prints {"seconds": […], "losses": […], …} as its last line
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": "all-linear"}
NAMES = ("Ada", "Grace", "Linus", "Margaret", "Dennis", "Barbara", "Ken", "Radia", "Edsger", "Frances")
CITIES = ("Lisbon", "Oslo", "Nairobi", "Kyoto", "Quito", "Tallinn", "Dunedin", "Porto")
TRADES = ("glass blower", "harbour pilot", "cartographer", "luthier", "beekeeper", "typesetter")


def build_conversations(count: int, *, records: int = 3) -> list[list[dict[str, str]]]:
    """Sentence to JSON, one to ``records`` a row; about 30 % padding at batch 4."""
    chance = random.Random(7)
    conversations = []
    for _ in range(count):
        people = [
            {
                "name": chance.choice(NAMES),
                "age": chance.randint(20, 80),
                "city": chance.choice(CITIES),
                "job": chance.choice(TRADES),
            }
            for _ in range(chance.randint(1, records))
        ]
        asked = " ".join(f"{r['name']}, {r['age']}, lives in {r['city']} and works as a {r['job']}." for r in people)
        conversations.append([{"role": "user", "content": asked}, {"role": "assistant", "content": json.dumps(people)}])
    return conversations


def build_rows(
    folder: str, conversations: list[list[dict[str, str]]], *, completion_only: bool, max_length: int
) -> list[dict[str, list[int]]]:
    """Token ids and labels in the model's own chat template, by the encoder that every run of ours uses: all contenders get these."""
    from peft_studio.core.data import Example, Message, load_encoder

    encoder, rows = load_encoder(folder), []
    for number, turns in enumerate(conversations):
        example = Example(row=number, kind="chat", messages=tuple(Message(**turn) for turn in turns))
        one = encoder.encode(example, max_length=max_length, assistant_only=completion_only)
        labels = [token if learn else -100 for token, learn in zip(one.tokens, one.trainable, strict=True)]
        rows.append({"input_ids": list(one.tokens), "labels": labels})
    return rows


def padding_share(rows: list[dict[str, list[int]]], batch_size: int) -> float:
    """Share of a padded batch that is padding, over all batches."""
    batches = [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
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


def arguments(cls: Any, job: dict[str, Any], **more: Any) -> Any:
    """Training arguments that every contender shares."""
    import torch

    return cls(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=job["batch"],
        max_steps=job["steps"],
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        optim="adamw_torch",
        bf16=job["precision"] == "bf16",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        gradient_checkpointing=False,
        train_sampling_strategy="sequential",
        use_cpu=not torch.cuda.is_available(),
        seed=0,
        **more,
    )


def step_clock(job: dict[str, Any]) -> tuple[Any, list[float], list[float]]:
    """A callback that fills the seconds and the losses of every optimizer step."""
    import torch
    from transformers import TrainerCallback

    read = {"wall": time.perf_counter, "cpu": time.process_time}[job["clock"]]

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return read()

    torch.set_num_threads(job["threads"])
    seconds: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):
        began = 0.0

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.began = now()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            seconds.append(now() - self.began)

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any
        ) -> None:
            if logs and "loss" in logs:
                losses.append(logs["loss"])

    return Clock(), seconds, losses


def run_trainer(
    job: dict[str, Any], *, collator: Any = None, prepare: Callable[[Any], None] | None = None
) -> dict[str, Any]:
    """``transformers.Trainer`` + peft. The collator decides padded (None: pad to the longest) or flat."""
    from transformers import Trainer, TrainingArguments

    model = load_model(job["model"], job["precision"])
    if prepare:
        prepare(model)
    clock, seconds, losses = step_clock(job)
    args = arguments(TrainingArguments, job, remove_unused_columns=False)
    Trainer(model, args, data_collator=collator or pad, train_dataset=job["rows"], callbacks=[clock]).train()
    return {"seconds": seconds, "losses": losses}


def pad(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    """The usual collator: fill up to the longest row."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "labels": -100}
    batch = {
        name: torch.tensor([[*row[name], *[no] * (width - len(row[name]))] for row in rows])
        for name, no in fill.items()
    }
    real = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
    return {**batch, "attention_mask": torch.tensor(real)}


def run_flattening(job: dict[str, Any]) -> dict[str, Any]:
    """Trainer with transformers' own padding-free collator: what a reader of its manual could do."""
    from transformers import DataCollatorWithFlattening

    return run_trainer(job, collator=DataCollatorWithFlattening())


def run_fast(job: dict[str, Any], *, share_prefix: bool) -> dict[str, Any]:
    """A bare Trainer with our fast path installed, after its equality check: what the runner has without its monitoring."""
    from peft_studio.runner.trainer import fast

    def prepare(model: Any) -> None:
        reason = fast.unsupported(model)
        difference = fast.compare(model, job["rows"][:2], share_prefix=share_prefix)
        if reason or not difference.within:
            raise SystemExit(reason or str(difference))
        print(difference, file=sys.stderr)
        fast.install(model)

    return run_trainer(job, collator=fast.FlatCollator(share_prefix=share_prefix), prepare=prepare)


def run_ours(job: dict[str, Any]) -> dict[str, Any]:
    """A run of the product: preflight, agent, event log, metrics, vitals, heartbeat, checkpoint. Its figures are read from its log."""
    import psutil

    from peft_studio import Studio
    from peft_studio.core.runs.state import LIVE

    rows = job["conversations"]
    placed: list[Any] = [None] * len(rows)
    for place, turns in zip(training_order(job), rows, strict=True):
        placed[place] = {"messages": turns}  # so that the run's own shuffle gives the order that all contenders have
    with tempfile.TemporaryDirectory() as home:
        studio = Studio(home=home)
        spec = studio.spec(
            model=job["model"], data=placed, method="lora", rank=LORA["r"], alpha=LORA["lora_alpha"], dropout=0.0,
            learning_rate=2e-4, lr_scheduler="constant", warmup_ratio=0.0, weight_decay=0.0, batch_size=job["batch"],
            gradient_accumulation_steps=1, max_steps=job["steps"], save_steps=job["steps"], max_length=job["max_length"],
            assistant_only_loss=job["completion_only"], precision=job["precision"], packing=False,
        )  # fmt: skip
        run = studio.launch(spec)
        agent = None
        spent: list[tuple[float, float]] = []  # (moment, CPU seconds of the agent) while it trains
        while run.state in LIVE:
            time.sleep(0.5)
            agent = agent or next(
                (
                    p
                    for p in psutil.process_iter(["cmdline"])
                    if {"agent", str(run.folder.path)} <= set(p.info["cmdline"])
                ),
                None,
            )
            if agent and run.state == "training":
                with contextlib.suppress(psutil.NoSuchProcess):
                    used = agent.cpu_times()
                    spent.append((time.monotonic(), used.user + used.system))
        metrics = run.wait().metrics().dropna(subset=["loss"])
        times = [0.0, *metrics["time_s"]]
    return {
        "seconds": [late - early for early, late in itertools.pairwise(times)],
        "losses": [round(loss, 4) for loss in metrics["loss"]],
        "agent_share": (spent[-1][1] - spent[0][1]) / (spent[-1][0] - spent[0][0]) if len(spent) > 1 else None,
    }


def training_order(job: dict[str, Any]) -> list[int]:
    """The order in which a run with seed 0 takes rows, told by Trainer itself."""
    import torch
    from transformers import Trainer, TrainingArguments

    args = TrainingArguments(
        tempfile.mkdtemp(), per_device_train_batch_size=job["batch"], seed=0, data_seed=0, use_cpu=True, report_to=[]
    )
    loader = Trainer(
        torch.nn.Linear(1, 1), args, data_collator=list, train_dataset=list(range(len(job["rows"])))
    ).get_train_dataloader()
    return [place for batch in loader for place in batch]


def run_sft(job: dict[str, Any], *, model: Any = None, **more: Any) -> dict[str, Any]:
    """``trl.SFTTrainer`` on the same token ids."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    clock, seconds, losses = step_clock(job)
    args = arguments(SFTConfig, job, max_length=None, **more)
    model = model or load_model(job["model"], job["precision"])
    SFTTrainer(model, args, train_dataset=Dataset.from_list(job["rows"]), callbacks=[clock]).train()
    return {"seconds": seconds, "losses": losses}


def run_unsloth(job: dict[str, Any]) -> dict[str, Any]:
    """Unsloth's model and its patched SFTTrainer, in its own environment."""
    unsloth = importlib.import_module("unsloth")  # must come before trl and transformers
    import torch

    model, _ = unsloth.FastLanguageModel.from_pretrained(
        job["model"],
        max_seq_length=job["max_length"],
        load_in_4bit=False,
        dtype=torch.bfloat16 if job["precision"] == "bf16" else torch.float32,
    )
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = unsloth.FastLanguageModel.get_peft_model(
        model, **{**LORA, "target_modules": targets}, use_gradient_checkpointing=False, random_state=0
    )
    return run_sft(job, model=model)


CONTENDERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "trainer": run_trainer,
    "trainer-flat": run_flattening,
    "trl": run_sft,
    "trl-padding-free": lambda job: run_sft(job, padding_free=True),
    "unsloth": run_unsloth,
    "ours": run_ours,
    "ours, bare": lambda job: run_fast(job, share_prefix=True),
    "ours, bare, prefix not shared": lambda job: run_fast(job, share_prefix=False),
}


if __name__ == "__main__":
    print(json.dumps(CONTENDERS[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))))
