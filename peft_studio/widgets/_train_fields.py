"""The fields of a run spec as a form: their groups, names, units, and how text becomes a value. What is legal, the spec says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from peft_studio.core.spec import RunSpec

METHOD_TITLES = {"lora": "LoRA", "qlora": "QLoRA", "dora": "DoRA", "pissa": "PiSSA", "rslora": "rsLoRA"}


@dataclass(frozen=True, slots=True)
class FormField:
    """``empty`` is what an empty control means, for fields that may be left empty."""

    name: str
    title: str
    unit: str = ""
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that stand together. A ``folded`` group opens on demand."""

    title: str
    fields: tuple[FormField, ...]
    folded: bool = False


SIMPLE = (
    FormField("method", "Method"),
    FormField("quantization", "Quantization"),
    FormField("epochs", "Epochs"),
    FormField("max_steps", "Max steps", "steps", "by epochs"),
)
GROUPS = (
    Group("Adapter", (
        FormField("rank", "Rank"), FormField("alpha", "Alpha"), FormField("dropout", "Dropout"),
        FormField("target_modules", "Target modules"),
    )),
    Group("Learning", (
        FormField("learning_rate", "Learning rate"), FormField("lr_scheduler", "Schedule"),
        FormField("warmup_ratio", "Warm-up", "of steps"), FormField("weight_decay", "Weight decay"),
        FormField("max_grad_norm", "Gradient clip"), FormField("optimizer", "Optimizer"),
    )),
    Group("Batches", (
        FormField("batch_size", "Batch", "rows"), FormField("gradient_accumulation_steps", "Accumulation", "batches"),
        FormField("max_length", "Max length", "tokens"), FormField("packing", "Packing"),
        FormField("assistant_only_loss", "Answers only"),
    )),
    Group("Machine", (
        FormField("precision", "Precision"), FormField("gradient_checkpointing", "Checkpointing"),
        FormField("loop", "Loop"), FormField("processes", "Processes", empty="as the machine has"),
        FormField("sharding", "Sharding"), FormField("probe", "Probe"),
    ), folded=True),
    Group("Saving", (
        FormField("save_steps", "Save every", "steps"), FormField("keep_checkpoints", "Checkpoints kept"),
        FormField("logging_steps", "Log every", "steps"),
    ), folded=True),
    Group("Evaluation and samples", (
        FormField("eval_steps", "Evaluate every", "steps", "at the end"),
        FormField("sample_prompts", "Sample prompts", empty="none"),
        FormField("sample_steps", "Sample every", "steps", "never"),
    ), folded=True),
    Group("Run", (
        FormField("name", "Name", empty="none"), FormField("tags", "Tags", empty="none"), FormField("seed", "Seed"),
        FormField("parent_run", "Parent run", empty="none"), FormField("remote_code", "Remote code", empty="none"),
    ), folded=True),
)  # fmt: skip
FIELDS = {field.name: field for field in (*SIMPLE, *(field for group in GROUPS for field in group.fields))}


def choices_of(name: str) -> list[tuple[str, str]]:
    """Value and title of each choice of a field that has few; empty for others. The value "" is None."""
    found = []
    for part in _parts(name):
        if get_origin(part) is Literal:
            found += [(str(value), METHOD_TITLES.get(value, str(value))) for value in get_args(part)]
    return [("", "None"), *found] if found and type(None) in _parts(name) else found


def kind_of(name: str) -> str:
    """The control of a field: choice, switch, number, lines or text."""
    parts = _parts(name)
    if choices_of(name):
        return "choice"
    if bool in parts:
        return "switch"
    if int in parts or float in parts:
        return "number"
    return "lines" if name == "sample_prompts" else "text"


def text_of(value: Any) -> str:
    """A value as its control shows it, such that :func:`parse` gives it back."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return _number_text(value)
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    if hasattr(value, "commit"):
        return f"{value.repo}@{value.commit}"
    return str(value)


def words_of(name: str, value: Any) -> str:
    """A value in a sentence or on a button."""
    if name in FIELDS and value in (None, "", ()):
        return FIELDS[name].empty or "None"
    return METHOD_TITLES.get(value, text_of(value)) if isinstance(value, str) else text_of(value)


def lines_of(value: Any) -> str:
    """Several texts, one a line."""
    return "\n".join(value)


def parse(name: str, text: Any) -> Any:
    """What a control holds as a value for the spec. What cannot be read goes on as it is, and the spec refuses it by name."""
    if not isinstance(text, str):
        return text
    kind, parts, words = kind_of(name), _parts(name), text.strip()
    if not words and type(None) in parts:
        return None
    if kind == "switch":
        return words == "on"
    if kind == "number":
        return _read_number(words, whole=float not in parts)
    if kind == "lines":
        return tuple(line.strip() for line in words.splitlines() if line.strip())
    if name == "tags" or (name == "target_modules" and "," in words):
        return tuple(part.strip() for part in words.split(",") if part.strip())
    if name == "remote_code":
        repo, _, commit = words.rpartition("@")
        return {"repo": repo, "commit": commit}
    return words


def _parts(name: str) -> tuple[Any, ...]:
    """The types that a field may have, without their unions."""
    annotation = RunSpec.model_fields[name].annotation
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _read_number(words: str, *, whole: bool) -> Any:
    read: Callable[[str], Any] = int if whole else float
    try:
        return read(words.replace(",", "").replace("\u202f", ""))
    except ValueError:
        return words


def _number_text(value: float) -> str:
    if value and abs(value) < 0.001:
        mantissa, _, exponent = f"{value:.9e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.10g}"
