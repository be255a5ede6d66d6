"""One training step and one evaluation batch with tensors that have no content, counted section by section.

The modules, the adapter, the fast path, the loss and the order of things are those of a run: accumulation keeps gradients over the
forward pass, mixed precision is accelerate's, and the graph is gone before the optimizer works. The optimizer's state is there from
the start, as it is from a run's second step on.

Sections of a model of n layers: ``forward 0`` … ``forward n-1`` (a layer's forward pass), ``head`` (last norm, output layer, loss, and their
backward pass), ``backward n-1`` … ``backward 0``, ``optimizer``, and the same of the forward pass in ``evaluation``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from accelerate.utils.operations import convert_outputs_to_fp32
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer import fast
from peft_studio.runner.trainer.hollow import build_meta_model, fill_with_fakes, list_tensors
from peft_studio.runner.trainer.live_bytes import LiveBytes
from peft_studio.runner.trainer.load import DTYPES

_SMALLEST_8BIT = 4096  # weights; bitsandbytes keeps the moments of smaller tensors in fp32
_8BIT_BLOCK = 256

Batch = dict[str, Any]
MakeBatch = Callable[..., Batch]


@dataclass(frozen=True)
class Section:
    """The most bytes alive in a section, by what they are, and the operation that reached it."""

    parts: dict[str, float]
    operation: str

    @property
    def total_bytes(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Count:
    """What was counted: bytes before the first step by kind, and the sections."""

    static: dict[str, float]
    sections: dict[str, Section]
    fast: bool


def count_step(config: Any, spec: RunSpec, make_batch: MakeBatch, *, evaluate: bool = True) -> Count:
    """Count a step of the model that ``config`` describes; ``make_batch(vocabulary=…, flat=…)`` gives its micro-batch."""
    model = build_meta_model(config, spec)
    fakes = FakeTensorMode(allow_non_fake_inputs=True)
    with fakes:
        fill_with_fakes(model)
    flat = spec.basis.device == "cpu" and spec.loop != "reference" and fast.unsupported(model, spec) is None
    batch = make_batch(vocabulary=model.config.vocab_size, flat=flat)
    with fakes:
        if flat:
            fast.install(model)
        return _Step(model, spec).run(batch, flat=flat, evaluate=evaluate)


class _Step:
    def __init__(self, model: Any, spec: RunSpec) -> None:
        self._model, self._spec = model, spec
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._layers = find_layers(model)
        held = list_tensors(model)
        self._count = LiveBytes(held)
        adapters = sum(parameter.nbytes for parameter in self._trained)
        constants = _size_of(held) - _size_of([*model.parameters(), *model.buffers()])
        weights = self._count.now - adapters - constants
        self._static = {"weights": weights, "constants": constants, "adapters": adapters}
        self._optimizer_bytes = 0
        self._entered: dict[str, tuple[int, int]] = {}  # section → bytes alive when it began, and those of gradients
        self._going = ""  # forward, backward or evaluation

    def run(self, batch: Batch, *, flat: bool, evaluate: bool) -> Count:
        model, spec = self._model, self._spec
        model.train()
        if spec.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if spec.precision != "fp32":
            model.forward = convert_outputs_to_fp32(model.forward)
        hooks = [hook for number, layer in enumerate(self._layers) for hook in self._watch(layer, number)]
        with self._count, _as_on(spec.basis.device):
            step = self._build_optimizer()
            self._train(batch, step)
            if evaluate:
                self._evaluate(batch)
        for hook in hooks:
            hook.remove()
        return Count(
            self._static, {name: self._section(name) for name in self._count.peaks if name in self._entered}, flat
        )

    def _train(self, batch: Batch, step: Callable[[], None]) -> None:
        self._going = "forward"
        self._enter("embedding")
        with self._mixed():
            loss = self._model(**batch, use_cache=False).loss
        self._going = "backward"
        loss.backward()
        del loss
        self._going = ""
        self._enter("optimizer")
        step()

    def _evaluate(self, batch: Batch) -> None:
        self._model.eval()
        self._going = "evaluation"
        self._enter("evaluation")
        with torch.no_grad(), self._mixed():
            self._model(**batch, use_cache=False)
        self._going = ""

    def _mixed(self) -> Any:
        return torch.autocast("cpu", dtype=DTYPES[self._spec.precision], enabled=self._spec.precision != "fp32")

    def _watch(self, layer: nn.Module, number: int) -> Iterator[Any]:
        """Enter sections as the work reaches this layer. Under checkpointing a layer runs again within its backward pass."""
        last = number == len(self._layers) - 1

        def before(*_: Any) -> None:
            if self._going in ("forward", "evaluation"):
                self._enter(f"{self._going} {number}")

        def after(_module: Any, _given: Any, out: Any) -> None:
            if self._going not in ("forward", "evaluation"):
                return
            tensor = out[0] if isinstance(out, tuple) else out
            if tensor.requires_grad:
                tensor.register_hook(lambda _: self._enter(f"backward {number}"))
            if last:
                self._enter("head" if self._going == "forward" else "evaluation head")

        yield layer.register_forward_pre_hook(before)
        yield layer.register_forward_hook(after)

    def _enter(self, section: str) -> None:
        gradients = sum(parameter.grad.nbytes for parameter in self._trained if parameter.grad is not None)
        self._entered[section] = self._count.now, gradients
        self._count.enter(section)

    def _section(self, name: str) -> Section:
        began, gradients = self._entered[name]
        peak, operation = self._count.peaks[name]
        kept = began - sum(self._static.values()) - self._optimizer_bytes - gradients
        within = "logits" if "head" in name else "workspace"
        parts = {
            **self._static,
            "gradients": gradients,
            "optimizer": self._optimizer_bytes,
            "activations": kept,
            within: peak - began,
        }
        return Section(parts, operation)

    def _build_optimizer(self) -> Callable[[], None]:
        """The optimizer with its state in place; returns a step. Gradients stay where accumulation would have left some."""
        spec, trained = self._spec, self._trained
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter)
        before = self._count.now
        if spec.optimizer in ("adamw_8bit", "paged_adamw_8bit"):
            state = [
                tensor for parameter in trained for tensor in _moments_8bit(parameter)
            ]  # kernels change it in place

            def work() -> None:
                assert state
        else:
            work = torch.optim.AdamW(trained, lr=1e-4, fused=spec.optimizer == "adamw_torch_fused").step
            work()
        self._optimizer_bytes = self._count.now - before

        def step() -> None:
            nn.utils.clip_grad_norm_(trained, spec.max_grad_norm)
            work()
            self._drop_gradients()

        if spec.gradient_accumulation_steps == 1:
            self._drop_gradients()
        return step

    def _drop_gradients(self) -> None:
        for parameter in self._trained:
            parameter.grad = None


@contextlib.contextmanager
def _as_on(device: str) -> Iterator[None]:
    """On a GPU dropout is one kernel that keeps a mask of a byte a number; on a CPU the mask is as wide as the numbers."""

    def dropout(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        return torch.native_dropout(x, p, training)[0]

    if device == "cpu":
        yield
        return
    with mock.patch.object(nn.functional, "dropout", dropout):
        yield


def _moments_8bit(parameter: torch.Tensor) -> list[torch.Tensor]:
    """Both moments as bitsandbytes' AdamW8bit keeps them: a byte a weight and an fp32 constant for 256; small ones in fp32."""
    count = parameter.numel()
    if count < _SMALLEST_8BIT:
        return [torch.empty(count) for _ in range(2)]
    blocks = -(-count // _8BIT_BLOCK)
    return [made for _ in range(2) for made in (torch.empty(count, dtype=torch.uint8), torch.empty(blocks))]


def find_layers(model: nn.Module) -> list[nn.Module]:
    """The decoder layers of a model."""
    wanted = model.config.num_hidden_layers
    return next(
        list(module) for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == wanted
    )


def _size_of(tensors: list[torch.Tensor]) -> int:
    """Bytes of the storages behind these tensors, each once."""
    storages = {id(storage): storage for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(storage.nbytes() for storage in storages.values())
