"""The training loop: ``transformers.Trainer`` with our checkpoints, our log and our loss.

Trainer resumes exactly as it is (measured: every method, dropout and shuffling on); what it lacks is a checkpoint that a kill cannot tear, so
only the saving is replaced. The fast path is a forward pass and a collator inside the same loop, so that both resume the same way.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainingArguments

from peft_studio.core.estimators.shares import Share
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import checkpoint_path, prune, publish
from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer.dealing import DealtBatches, DealtLoader, Part, build_filler, fill
from peft_studio.runner.trainer.monitor import Monitor
from peft_studio.runner.trainer.order import LongestFirst, Need
from peft_studio.runner.trainer.shards import is_sharded
from peft_studio.runner.trainer.without_datasets import without_datasets
from peft_studio.runner.trainer.world import average_gradients

with without_datasets():
    from transformers import Trainer


class StudioTrainer(Trainer):
    """Trainer that reports to a :class:`Monitor` and whose checkpoints appear whole or not at all."""

    def __init__(
        self, *, checkpoints: Path, monitor: Monitor, keep_checkpoints: int, need: Need, part: Part, **kwargs: Any
    ) -> None:
        self._part = part
        super().__init__(**kwargs)
        self._checkpoints = checkpoints
        self.monitor = monitor
        self._keep = keep_checkpoints
        self._need = need

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The batch's loss; its real tokens are counted on the way."""
        self.monitor.count_tokens(inputs)
        return super().compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)

    def create_accelerator_and_postprocess(self) -> None:
        """accelerate knows the processes and the precision. The model it leaves alone: what is trained is a few adapters, whose gradients
        :meth:`_clip_grad_norm` averages at the end of a step, and the rest may be sharded."""
        super().create_accelerator_and_postprocess()
        if self._part.world.size > 1:
            prepare = self.accelerator.prepare_model
            self.accelerator.prepare_model = lambda model, **_: prepare(
                model, device_placement=False, evaluation_mode=True
            )

    def _move_model_to_device(self, model: Any, device: Any) -> None:
        if not is_sharded(model):  # that stands where it shall
            super()._move_model_to_device(model, device)

    def get_train_dataloader(self) -> Any:
        """Micro-batches of this process."""
        part, rows = self._part, self.train_dataset
        if part.world.size == 1:
            return super().get_train_dataloader()
        dealt = DealtBatches(self._get_train_sampler(), part)
        first = rows[0]
        filler = build_filler(first[0] if isinstance(first, list) else first)
        collate = fill(self.data_collator, filler)
        return DealtLoader(rows, batch_sampler=dealt, collate_fn=collate, pin_memory=self.args.dataloader_pin_memory)

    def _clip_grad_norm(self, model: Any) -> Any:
        average_gradients(model.parameters())
        return super()._clip_grad_norm(model)

    def _get_train_sampler(self, train_dataset: Any = None) -> LongestFirst:
        rows = train_dataset or self.train_dataset
        return LongestFirst(len(rows), batch_size=self._part.micro_items, seed=self.args.data_seed, need=self._need)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Numbers of a step go to the metrics file. Trainer's own history is not kept: it would grow in every checkpoint."""
        if "loss" in logs:
            step = self.state.global_step
            self.monitor.log_step(step, logs, last=step >= self.state.max_steps)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._checkpoints / ".aside")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        began = time.monotonic()
        step = self.state.global_step
        aside = Path(self._get_output_dir(trial)) / f"checkpoint-{step}"
        if self.args.should_save:
            shutil.rmtree(aside, ignore_errors=True)
        self.accelerator.wait_for_everyone()  # or rank 0 would remove what another has already written
        with self.monitor.doing("saving"), contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, aside, ignore_errors=True)  # on a full disk: room for saying so
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # every rank has written its RNG state
            if self.args.should_save:
                self._publish(aside, began=began)
            undo.pop_all()
        self.accelerator.wait_for_everyone()

    def _publish(self, aside: Path, *, began: float) -> None:
        step = self.state.global_step
        self.monitor.save_progress(aside)
        final = checkpoint_path(self._checkpoints, step)
        digest, size = publish(aside, final)
        prune(self._checkpoints, keep=self._keep)
        path = final.relative_to(self._checkpoints.parent).as_posix()
        took = time.monotonic() - began
        self.monitor.send(ev.CheckpointSaved(step=step, path=path, size_bytes=size, sha256=digest, duration_s=took))


class StopWhenAsked(TrainerCallback):
    """Ends training after the current step, with a checkpoint, when the agent asks for it or is gone."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Trainer calls this after each optimizer step."""
        if self._monitor.should_stop(everyone=args.world_size > 1):
            control.should_save = True
            control.should_training_stop = True
        return control


def build_arguments(spec: RunSpec, *, scratch: Path, device: str, share: Share) -> TrainingArguments:
    """Trainer's settings for a spec, in a process that has this share of each step."""
    return TrainingArguments(
        output_dir=str(scratch),
        per_device_train_batch_size=share.items,
        gradient_accumulation_steps=share.micro_batches,
        num_train_epochs=spec.epochs,
        max_steps=spec.max_steps or -1,
        learning_rate=spec.learning_rate,
        lr_scheduler_type=spec.lr_scheduler,
        warmup_steps=spec.warmup_ratio,  # below 1 it is a share of all steps
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_grad_norm,
        optim=spec.optimizer,
        bf16=spec.precision == "bf16",
        fp16=spec.precision == "fp16",
        gradient_checkpointing=spec.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if spec.gradient_checkpointing else None,
        seed=spec.seed,
        data_seed=spec.seed,
        logging_steps=1,  # every step is watched; how many become rows is the monitor's choice
        logging_nan_inf_filter=False,  # a NaN must be seen, not averaged away
        save_strategy="steps",
        save_steps=spec.save_steps,
        eval_strategy="no",  # evaluated by our own loop, which leaves the random state alone
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device == "cuda",
        use_liger_kernel=device == "cuda" and importlib.util.find_spec("liger_kernel") is not None,
        use_cpu=device == "cpu",
    )
