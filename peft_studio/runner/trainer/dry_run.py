"""Goes through a training step and an evaluation batch with tensors that have shapes and no content, and counts what would be alive.

Whatever a method or an architecture keeps for its backward pass is counted, since the modules are those that will train, and the operation at
the peak has a name. No weight is read and no product is computed: :mod:`.hollow` builds the model, :mod:`.hollow_step` goes through it.

A model of many equal layers is counted with three of them and with four: what each section of the work holds is a linear function of the number of
layers, and the peak is the largest section's (tests hold that against the whole model). Of layers that differ, as Gemma's, all are counted.

Tensors count at their own size: no allocator, no CUDA context, no cuBLAS workspace. They are on the CPU also for a run on a GPU; there
the reference loop is counted. In PiSSA the decomposition before the first step is left out. Experts
(Mixtral, Qwen-MoE) in fp32 cannot be gone through: torch's grouped product has no content-free form there.

    python -m peft_studio.runner dry-run MODEL_FOLDER < spec.json

answers with one JSON line, the fields of :class:`DryRun`.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from array import array
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer.channel import claim_stdout
from peft_studio.runner.trainer.fast import FlatCollator
from peft_studio.runner.trainer.hollow import load_shape
from peft_studio.runner.trainer.hollow_step import Batch, Count, Section, count_step
from peft_studio.runner.trainer.rows import PadJoin

FEW_LAYERS = (3, 4)
WHOLE_UP_TO = 8  # layers: below it counting all of them takes about as long


@dataclass(frozen=True)
class DryRun:
    """Bytes of live tensors: before the first step, and the most there were, in operation ``peak_at`` of section ``section``.

    ``parts`` adds up to the peak: weights, constants (of a quantised base), adapters, gradients, optimizer, activations, and what the
    section itself works with: logits at the model's head, else workspace. ``counted_layers`` is 0 where every layer was counted.
    """

    static_bytes: int
    peak_bytes: int
    peak_at: str
    section: str
    loop: str
    parts: dict[str, int]
    counted_layers: int = 0


def dry_run(spec: RunSpec, model_folder: Path, *, row_tokens: int | None = None, whole: bool = False) -> DryRun:
    """Count micro-batches of ``batch_size`` rows of ``row_tokens`` tokens (``max_length`` unless given), all of them trained.

    ``whole`` counts every layer, whatever it takes: about 0.2 s a layer.
    """
    config = load_shape(model_folder)
    layers: int = config.num_hidden_layers

    def make_batch(*, vocabulary: int, flat: bool) -> Batch:
        return _build_batch(spec, row_tokens or spec.max_length, vocabulary=vocabulary, flat=flat)

    if whole or layers <= WHOLE_UP_TO or not _all_alike(config):
        return _summarise(count_step(config, spec, make_batch), layers, counted=0)
    fewer = count_step(_with_layers(config, FEW_LAYERS[0]), spec, make_batch, evaluate=False)
    more = count_step(_with_layers(config, FEW_LAYERS[1]), spec, make_batch)
    return _summarise(_extrapolate(fewer, more, layers), layers, counted=FEW_LAYERS[1])


def _all_alike(config: Any) -> bool:
    """Whether any layer stands for all: one kind of attention, and no layer with its own kind of MLP."""
    kinds = set(getattr(config, "layer_types", None) or ())
    mixed = getattr(config, "mlp_only_layers", None) or getattr(config, "decoder_sparse_step", 1) != 1
    return len(kinds) < 2 and not mixed and not hasattr(config, "text_config")


def _with_layers(config: Any, number: int) -> Any:
    shorter = deepcopy(config)
    shorter.num_hidden_layers = number
    if getattr(config, "layer_types", None):
        shorter.layer_types = config.layer_types[:number]
    return shorter


def _extrapolate(fewer: Count, more: Count, layers: int) -> Count:
    """The sections of a model with ``layers`` layers, from those of two with three and four.

    First and last layers have sections of their own; those between lie between. An evaluation keeps nothing of a layer, so only what is there
    before it grows.
    """
    short, long = FEW_LAYERS

    def line(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
        return {name: b[name] + (b[name] - a[name]) * (layers - long) for name in b}

    sections = {}
    before = (*more.static, "optimizer")
    for name, section in more.sections.items():
        kind, _, number = name.rpartition(" ")
        if name.startswith("evaluation"):
            grown = section.parts | {
                part: size
                for part, size in line(fewer.sections["optimizer"].parts, more.sections["optimizer"].parts).items()
                if part in before
            }
            sections[name] = Section(grown, section.operation)
        elif not number.isdigit():
            sections[name] = Section(line(fewer.sections[name].parts, section.parts), section.operation)
        elif int(number) in (0, 1, long - 2, long - 1):
            from_end = int(number) >= long - 2
            twin = f"{kind} {int(number) - (long - short) * from_end}"
            place = int(number) + (layers - long) * from_end
            sections[f"{kind} {place}"] = Section(line(fewer.sections[twin].parts, section.parts), section.operation)
    return Count(line(fewer.static, more.static), sections, more.fast)


def _summarise(count: Count, layers: int, *, counted: int) -> DryRun:
    name, peak = max(count.sections.items(), key=lambda item: item[1].total_bytes)
    parts = {part: round(size) for part, size in peak.parts.items()}
    static = round(sum(count.static.values()))
    loop = "fast" if count.fast else "reference"
    return DryRun(static, sum(parts.values()), peak.operation, name, loop, parts, counted)


def _build_batch(spec: RunSpec, row_tokens: int, *, vocabulary: int, flat: bool) -> Batch:
    """Real token numbers: how rows lie in the batch is read from them."""
    rows = []
    for number in range(spec.batch_size):
        # Every second row a token shorter: rows of one length would need no mask, and rows of a run seldom are.
        tokens = [(number + at) % vocabulary for at in range(row_tokens - number % 2)]
        rows.append({"input_ids": tokens, "labels": tokens})
    if not flat:
        return PadJoin(0)(rows)
    # What the fast path reads as numbers must not be tensors here: a fake one has none.
    lengths = array("q", [len(row["input_ids"]) for row in rows])
    return {**FlatCollator()(rows), "segment_lengths": lengths, "shared_prefix": 0}


def dry_run_main(argv: list[str]) -> int:
    """``dry-run``: see the module. What goes wrong leaves as a traceback on standard error and a status other than 0."""
    parser = argparse.ArgumentParser(prog="python -m peft_studio.runner dry-run")
    parser.add_argument("model_folder", type=Path)
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    with claim_stdout() as out:
        found = dry_run(RunSpec.from_json(sys.stdin.read()), arguments.model_folder)
        print(json.dumps(asdict(found)), file=out, flush=True)
    return 0
