"""The steps of a training job, in order: base model, adapter, rows, training, evaluation, saving."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Any

import numpy
import torch
from transformers import TrainerCallback

from peft_studio.core.estimators.shares import Strategy
from peft_studio.core.estimators.work import is_probed
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.anomalies import AnomalyWatch
from peft_studio.core.runs.checkpoints import checkpoint_path
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer.dealing import build_part
from peft_studio.runner.trainer.evaluate import answer, measure_loss
from peft_studio.runner.trainer.export import export_adapter
from peft_studio.runner.trainer.fast import FlatCollator
from peft_studio.runner.trainer.load import load_base, load_tokenizer
from peft_studio.runner.trainer.loop import StopWhenAsked, StudioTrainer, build_arguments
from peft_studio.runner.trainer.methods import attach_adapter
from peft_studio.runner.trainer.monitor import Monitor
from peft_studio.runner.trainer.order import Layout
from peft_studio.runner.trainer.paths import LoopChoice, choose_loop
from peft_studio.runner.trainer.prepare import prepare_model
from peft_studio.runner.trainer.probe import probe
from peft_studio.runner.trainer.rows import Collator, PackedRows, PadJoin, TokenRows, load_rows
from peft_studio.runner.trainer.shards import shard_base
from peft_studio.runner.trainer.world import World, any_rank, join_world


class Job:
    """One execution of a run, or this process's part in it. ``from_step`` 0 starts fresh; otherwise the checkpoint of that step is continued
    exactly."""

    def __init__(
        self,
        folder: RunFolder,
        spec: RunSpec,
        monitor: Monitor,
        *,
        from_step: int,
        world: World | None = None,
        strategy: Strategy = "single",
    ) -> None:
        self._strategy = strategy
        self._folder = folder
        self._spec = spec
        self._monitor = monitor
        self._from_step = from_step
        self._scratch = folder.path / "scratch"
        self._longest: list[int] = []  # items of the training set
        self._world = world or World()
        self._kind = spec.basis.device if spec.basis.device != "cuda" or torch.cuda.is_available() else "cpu"
        self._device = self._world.device(self._kind)
        self._part = build_part(spec, self._world)

    def run(self) -> ev.Finished:
        """Do all of it and return how it ended; failures come out as exceptions."""
        _seed_everything(self._spec.seed)
        self._enter("loading", self._spec.model)
        join_world(self._world, kind=self._kind)
        model_folder = self._model_folder()
        model = self._load(model_folder)
        self._enter("reading", self._spec.data.origin)
        train, evaluation = load_rows(self._spec, model_folder, should_stop=self._may_leave)
        if self._may_leave():
            return ev.Finished(state="stopped")
        tokenizer = load_tokenizer(model_folder)
        choice = choose_loop(model, self._spec, train)
        trainer = self._build_trainer(model, train, choice, pad_id=tokenizer.pad_token_id or 0)
        trainer.add_callback(_BetweenSteps(self, trainer, tokenizer, evaluation))
        watch = self._announce(model, trainer, train, evaluation, choice)
        self._train(trainer, watch)
        if any_rank(self._monitor.orphaned):
            return ev.Finished(state="stopped")  # nobody listens; the checkpoint is what counts
        stopped = any_rank(self._monitor.stopped) and self._monitor.step < trainer.state.max_steps
        if not stopped:
            self._enter("evaluating")
            self.evaluate(trainer, evaluation)
        self._enter("saving")
        self._save(trainer, model_folder, choice)
        return ev.Finished(state="stopped" if stopped else "completed")

    def _save(self, trainer: StudioTrainer, model_folder: Path, choice: LoopChoice) -> None:
        """Write the adapter; where the base is shared out, the others help to try it."""
        if choice.fast is not None:
            choice.fast.uninstall()
        together = self._strategy == "fsdp"
        if not (self._world.leads or together):
            return
        first = trainer.train_dataset[0]
        saved = export_adapter(
            trainer.model, self._folder, self._spec, model_folder=model_folder, scratch=self._scratch, step=trainer.state.global_step,
            ids=(first[0] if isinstance(first, list) else first)["input_ids"], world=self._world if together else None,
        )  # fmt: skip
        if saved:
            self._monitor.send(saved)

    def begin(self, trainer: StudioTrainer, evaluation: TokenRows) -> None:
        """Model and optimizer are ready and no step was taken: probe, where the spec asks for it and the run is long enough."""
        spec = self._spec
        micro_batches = trainer.state.max_steps * self._part.share.micro_batches
        if is_probed(spec, micro_batches) and not self._from_step:
            items = [trainer.train_dataset[number] for number in self._longest]
            rows = [evaluation[number] for number in Layout(evaluation.lengths()).find_neediest(spec.batch_size)]
            accumulates = self._part.share.micro_batches > 1
            self._monitor.send(probe(trainer, items, rows, accumulates=accumulates))
        self._enter("training")

    def evaluate(self, trainer: StudioTrainer, rows: TokenRows) -> None:
        """Measure the loss on the held-out rows and report it; without such rows do nothing."""
        if not len(rows):
            return
        began = time.perf_counter()
        with self._monitor.doing("evaluating"):
            loss = measure_loss(trainer, rows, batch_size=self._spec.batch_size, world=self._world)
        took = time.perf_counter() - began
        step = trainer.state.global_step
        self._monitor.pause(took)
        self._monitor.log_evaluation(step, loss)
        self._monitor.send(ev.Evaluated(step=step, loss=loss, rows=len(rows), duration_s=took))

    def sample(self, trainer: StudioTrainer, tokenizer: Any) -> None:
        """Let the model answer the spec's sample prompts; where its base is shared out, all processes answer, and the same."""
        if not self._world.leads and self._strategy != "fsdp":
            return
        for prompt in self._spec.sample_prompts:
            began = time.perf_counter()
            with self._monitor.doing("sampling"):
                text = answer(trainer, tokenizer, prompt)
            took = time.perf_counter() - began
            self._monitor.pause(took)
            self._monitor.send(ev.Sampled(step=trainer.state.global_step, prompt=prompt, text=text, duration_s=took))

    @property
    def spec(self) -> RunSpec:
        """What is being trained."""
        return self._spec

    def _may_leave(self) -> bool:
        """Whether to end before training. With several processes only the loop itself can, where they can agree on it."""
        return self._world.size == 1 and self._monitor.should_stop()

    def _enter(self, phase: str, detail: str = "") -> None:
        self._monitor.send(ev.PhaseEntered(phase=phase, detail=detail))

    def _model_folder(self) -> Path:
        return prepare_model(self._spec.model, self._folder.home, remote_code=self._spec.remote_code)

    def _load(self, model_folder: Path) -> Any:
        spec = self._spec
        base = load_base(
            model_folder,
            quantization=spec.quantization,
            precision=spec.precision,
            device="cpu" if self._strategy == "fsdp" else self._device,
            remote_code=spec.remote_code,
        )
        model = attach_adapter(base, spec, scratch=self._scratch)
        if self._strategy == "fsdp":
            shard_base(model, self._world, kind=self._kind)
        return model

    def _build_trainer(self, model: Any, train: TokenRows, choice: LoopChoice, *, pad_id: int) -> StudioTrainer:
        self._folder.checkpoints.mkdir(exist_ok=True)
        # Without packing both loops go by the padded size, so that they visit rows in the same order.
        flat = choice.fast is not None and choice.bins is not None
        layout = Layout(train.lengths(), flat=flat, bins=choice.bins)
        self._longest = layout.find_neediest(self._part.share.items)
        return StudioTrainer(
            model=model,
            args=build_arguments(self._spec, scratch=self._scratch, device=self._kind, share=self._part.share),
            train_dataset=PackedRows(train, choice.bins) if choice.bins is not None else train,
            data_collator=Collator(FlatCollator(share_prefix=choice.share_prefix) if choice.fast else PadJoin(pad_id)),
            callbacks=[StopWhenAsked(self._monitor)],
            checkpoints=self._folder.checkpoints,
            monitor=self._monitor,
            keep_checkpoints=self._spec.keep_checkpoints,
            need=layout.need,
            part=self._part,
        )

    def _announce(
        self, model: Any, trainer: StudioTrainer, train: TokenRows, evaluation: TokenRows, choice: LoopChoice
    ) -> AnomalyWatch:
        spec = self._spec
        per_epoch = max(1, -(-len(trainer.train_dataset) // self._part.step_items))
        total = spec.max_steps or max(1, math.ceil(per_epoch * spec.epochs))
        trainable, everything = model.get_nb_trainable_parameters()
        self._monitor.send(ev.Planned(
            total_steps=total, steps_per_epoch=per_epoch, train_rows=len(train), eval_rows=len(evaluation),
            trainable_parameters=trainable, total_parameters=everything, device=self._kind, precision=spec.precision,
            loop="fast" if choice.fast else "reference", loop_reason=choice.reason, processes=self._world.size, strategy=self._strategy,
            epoch_tokens=sum(train.lengths()),
        ))  # fmt: skip
        return AnomalyWatch(spec, total_steps=total, vocabulary=model.config.vocab_size, train_rows=len(train))

    def _train(self, trainer: StudioTrainer, watch: AnomalyWatch) -> None:
        step = self._from_step
        checkpoint = checkpoint_path(self._folder.checkpoints, step) if step else None
        self._monitor.start(watch, step=step, checkpoint=checkpoint, past=read_metrics(self._folder.metrics))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


class _BetweenSteps(TrainerCallback):
    """What is done before the first step, and evaluation and samples where the spec asks for them in the middle of training."""

    def __init__(self, job: Job, trainer: StudioTrainer, tokenizer: Any, evaluation: TokenRows) -> None:
        self._job, self._trainer, self._tokenizer, self._evaluation = job, trainer, tokenizer, evaluation

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Trainer calls this when everything is ready."""
        self._job.begin(self._trainer, self._evaluation)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Trainer calls this after each optimizer step."""
        spec = self._job.spec
        last = state.global_step >= state.max_steps
        if spec.eval_steps and state.global_step % spec.eval_steps == 0 and not last:
            self._job.evaluate(self._trainer, self._evaluation)
        if spec.sample_steps and (state.global_step % spec.sample_steps == 0 or last):
            self._job.sample(self._trainer, self._tokenizer)


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
