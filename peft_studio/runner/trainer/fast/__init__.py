"""The fast training path for CPUs: same loss and gradients as ``transformers.Trainer`` with peft, in less time.

One flat row a micro-batch without padding, one causal attention a row, output layer and cross-entropy as one step at trained
positions only, LoRA layers as one autograd function, fused norms. It is used where :func:`unsupported` has no reason against
and :func:`compare` finds it equal; else the reference loop runs. It brings no loop of its own: Trainer keeps optimiser,
accumulation, logging and checkpoints. How much less time: ``benchmarks/training_throughput.py``.

    reason = fast.unsupported(model, spec)
    difference = fast.compare(model, rows)
    path = fast.install(model)                     # then model(**flat_batch).loss is the fast loss
    trainer = Trainer(model, data_collator=fast.FlatCollator(), …)
"""

from peft_studio.runner.trainer.fast.equality import Difference, compare
from peft_studio.runner.trainer.fast.path import FastPath, install
from peft_studio.runner.trainer.fast.rows import FlatCollator, pack_rows
from peft_studio.runner.trainer.fast.support import partial_reason, unsupported

__all__ = ["Difference", "FastPath", "FlatCollator", "compare", "install", "pack_rows", "partial_reason", "unsupported"]
