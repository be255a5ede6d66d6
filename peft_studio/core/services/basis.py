"""The facts that defaults start from, gathered from data, model and machine; and what of a spec file holds here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft_studio.core.data import Dataset
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.device import find_device, find_free_bytes
from peft_studio.core.models import read_model_facts
from peft_studio.core.spec import Basis

GIB = 1 << 30
CONVERSATIONAL = frozenset({"messages", "sharegpt", "alpaca", "prompt-completion", "tools"})


def build_basis(data: Dataset, model_folder: Path, **fields: Any) -> Basis:
    """What is known before a default is chosen. Token lengths come from the rows themselves, a sample of them when there are many."""
    facts = read_model_facts(model_folder)
    device = find_device()
    report = data.report(model_folder, assistant_only=fields.get("assistant_only_loss", True))
    lengths = report.lengths
    return Basis(
        parameters=facts.parameters, family=facts.family, context_length=facts.context_length, train_rows=data.sizes[0],
        p95_tokens=lengths.p95 if lengths else None, max_tokens=lengths.max if lengths else None,
        eval_rows=data.sizes[1], row_tokens=lengths.sixteenths if lengths else (), learnt_share=report.learnt_share,
        shared_tokens=lengths.shared if lengths else 0,
        conversational=data.ref.format in CONVERSATIONAL, device=device.kind, bf16=device.bf16,
        free_bytes=free_memory(), hidden_size=facts.hidden_size,
    )  # fmt: skip


def free_memory() -> int | None:
    """Memory of the device that a run here would use, in whole GiB so that a spec does not differ from minute to minute."""
    free = find_free_bytes()
    return None if free is None else max(GIB, free // GIB * GIB)


def localise(spec: ExplainedSpec, *, relative_to: Path) -> tuple[ExplainedSpec, list[str]]:
    """A spec from elsewhere, fitted to this machine: fields nobody had set are derived again; the notes say what changed."""
    notes = []
    device = find_device()
    here = {"device": device.kind, "bf16": device.bf16, "free_bytes": free_memory()}
    basis = spec.basis.model_copy(update=here)
    path = Path(spec.data.path)
    data = spec.data
    if not path.exists() and (beside := relative_to / path.name).exists():
        notes.append(f"The data stands beside the file: {beside}.")
        data = data.model_copy(update={"path": str(beside)})
    elif not path.exists():
        notes.append(f"The data is not on this machine: {path}. Give it: spec.replace(data=studio.data(…).ref).")
    local = spec.replace(basis=basis, data=data)
    for name in sorted(set(type(spec).model_fields) - {"basis", "data", "chosen"}):
        if getattr(local, name) != getattr(spec, name):
            notes.append(f"{name}: {getattr(spec, name)} → {getattr(local, name)} on this {device.name}.")
    return local, notes
