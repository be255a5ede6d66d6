"""The model card of an adapter, made from its run. Pure text: what the run does not know shows as "—", nothing is invented."""

from __future__ import annotations

from collections.abc import Iterator

from peft_studio.core import words
from peft_studio.core.models.licence import OPEN
from peft_studio.core.services.publish.facts import RunFacts, Spread
from peft_studio.core.services.publish.safe_text import code, front_matter, prose, table, yaml

SPEC_FILE = "peft_studio_spec.json"
UNKNOWN = "—"
METHODS = {"lora": "LoRA", "qlora": "QLoRA", "dora": "DoRA", "pissa": "PiSSA (saved as LoRA)", "rslora": "rsLoRA"}
PACKAGES = ("peft-studio", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "tokenizers")
HUB_LICENCES = OPEN | {
    "bigscience-bloom-rail-1.0", "bigscience-openrail-m", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "creativeml-openrail-m", "gemma", "gpl-3.0",
    "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "openrail",
}  # fmt: skip
SETTINGS = (
    "rank", "alpha", "dropout", "target_modules", "learning_rate", "lr_scheduler", "warmup_ratio", "weight_decay", "max_grad_norm",
    "optimizer", "batch_size", "gradient_accumulation_steps", "max_length", "packing", "assistant_only_loss", "seed",
)  # fmt: skip


def build_card(facts: RunFacts, repo: str) -> str:
    """The card of an adapter that goes to ``repo``."""
    parts = [
        _front(facts),
        f"# {prose(facts.name or repo.rpartition('/')[2])}",
        f"A {METHODS[facts.spec.method]} adapter on {_base(facts)}, trained with PEFT Studio.",
        f"## Use\n\n{_usage(facts, repo)}",
        f"## Data\n\n{table(('what', 'value'), _data(facts))}",
        f"## Training\n\n{table(('what', 'value'), _training(facts))}",
        f"## Results\n\n{_results(facts)}",
        f"## Reproduce\n\n{_reproduce(facts)}",
        f"## Limitations\n\n{_limits(facts)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front(facts: RunFacts) -> str:
    spec, licence, name = facts.spec, facts.base_licence, None
    if licence and licence not in HUB_LICENCES:  # the hub takes names of its own list alone
        licence, name = "other", licence
    return front_matter(
        {
            "base_model": facts.base_id,
            "library_name": "peft",
            "license": licence,
            "license_name": name,
            "pipeline_tag": "text-generation",
            "datasets": [facts.data_id] if facts.data_id else None,
            "tags": ["lora", *([spec.method] if spec.method != "lora" else []), "peft-studio"],
        }
    )


def _base(facts: RunFacts) -> str:
    if facts.base_id:
        return code(facts.base_id)
    return "a base model that was a folder on the author's machine"


def _usage(facts: RunFacts, repo: str) -> str:
    base = yaml(facts.base_id) if facts.base_id else "...  # the base model named above"
    lines = [
        "```python",
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f"base = {base}",
        "tokenizer = AutoTokenizer.from_pretrained(base)",
        f"model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), {yaml(repo)})",
    ]
    if facts.spec.basis.conversational:
        lines += [
            'messages = [{"role": "user", "content": "…"}]',
            'inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")',
        ]
    else:
        lines.append('inputs = tokenizer("…", return_tensors="pt")')
    lines += [
        'answer = model.generate(**inputs, max_new_tokens=64)[0, inputs["input_ids"].shape[1] :]',
        "print(tokenizer.decode(answer, skip_special_tokens=True))",
        "```",
    ]
    return "\n".join(lines)


def _data(facts: RunFacts) -> Iterator[tuple[str, str]]:
    data, basis, plan = facts.spec.data, facts.spec.basis, facts.plan
    yield "source", code(facts.data_id) if facts.data_id else "private; not part of this repository"
    yield "format", code(data.format)
    yield "rows", f"{data.rows:,}" + (f", {len(data.left_out):,} left out by the author" if data.left_out else "")
    yield "trained on", f"{plan.train_rows:,} rows" if plan else UNKNOWN
    held = (
        f"{plan.eval_rows:,} rows, split {data.split:g} with seed {data.seed}" if plan and plan.eval_rows else "nothing"
    )
    yield "held out", held if plan else UNKNOWN
    yield "tokens a row, 95th percentile", f"{basis.p95_tokens:,}" if basis.p95_tokens else UNKNOWN
    yield "tokens of the longest row", f"{basis.max_tokens:,}" if basis.max_tokens else UNKNOWN
    cut = basis.max_tokens and basis.max_tokens > facts.spec.max_length
    yield (
        "longer rows",
        f"cut at {facts.spec.max_length:,} tokens" if cut else "none were cut" if basis.max_tokens else UNKNOWN,
    )


def _training(facts: RunFacts) -> Iterator[tuple[str, str]]:
    spec, plan = facts.spec, facts.plan
    yield "method", METHODS[spec.method] + (f", base in {spec.quantization}" if spec.quantization else "")
    for name in SETTINGS:
        value = getattr(spec, name)
        yield (
            name,
            code(
                ", ".join(value)
                if isinstance(value, tuple)
                else f"{value:g}"
                if isinstance(value, float)
                else f"{value}"
            ),
        )
    yield "steps", f"{facts.steps:,}" if facts.steps else UNKNOWN
    yield (
        "epochs",
        f"{facts.steps / plan.steps_per_epoch:.2f}" if facts.steps and plan and plan.steps_per_epoch else UNKNOWN,
    )
    yield "trainable parameters", f"{plan.trainable_parameters:,} of {plan.total_parameters:,}" if plan else UNKNOWN
    yield "hardware", _hardware(facts)
    yield "precision", plan.precision if plan else UNKNOWN
    yield "time", words.duration(facts.trained_s) if facts.trained_s else UNKNOWN
    yield "peak memory", words.gib(facts.peak_bytes) if facts.peak_bytes else UNKNOWN
    yield "tokens", f"{facts.tokens:,.0f}" if facts.tokens else UNKNOWN
    yield (
        "cost",
        words.usd(facts.cost_usd) if facts.cost_usd is not None else f"{UNKNOWN} (a machine of the author's own)",
    )


def _hardware(facts: RunFacts) -> str:
    plan, cpus = facts.plan, facts.environment.get("cpus")
    if plan is None:
        return UNKNOWN
    name = "CPU" if plan.device == "cpu" else prose(plan.device)
    return f"{name}, {cpus} cores" if cpus and plan.device == "cpu" else name


def _results(facts: RunFacts) -> str:
    rows = [
        ("training loss, first tenth of the steps", *_spread(facts.first_loss)),
        ("training loss, last tenth of the steps", *_spread(facts.last_loss)),
    ]
    shown = facts.evaluations if len(facts.evaluations) < 2 else (facts.evaluations[0], facts.evaluations[-1])
    for one in shown:
        rows.append((f"loss on held-out rows, step {one.step:,}", f"{one.loss:.4f}", UNKNOWN, f"{one.rows:,} rows"))
    if not shown:
        rows.append(("loss on held-out rows", UNKNOWN, UNKNOWN, UNKNOWN))
    note = "± is the standard deviation from step to step of this one run; how much another seed would change a number was not measured."
    return table(("number", "value", "±", "over"), rows) + "\n\n" + note


def _spread(found: Spread | None) -> tuple[str, str, str]:
    if found is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    return (
        f"{found.mean:.4f}",
        UNKNOWN if found.sd is None else f"{found.sd:.4f}",
        f"{found.count:,} step{'' if found.count == 1 else 's'}",
    )


def _reproduce(facts: RunFacts) -> str:
    known = [(name, str(version)) for name in PACKAGES if (version := facts.environment.get(name))]
    versions = table(("package", "version"), [(name, code(version)) for name, version in known])
    python = facts.environment.get("python")
    return "\n".join(
        [
            f"Every setting is in `{SPEC_FILE}`; the data it names has to be at hand.",
            "",
            "```sh",
            "pip install 'peft-studio[train]'",
            f"peft-studio train {SPEC_FILE}",
            "```",
            "",
            f"Trained with Python {code(str(python))} and:" if python else "Trained with:",
            "",
            versions if known else UNKNOWN,
        ]
    )


def _limits(facts: RunFacts) -> str:
    licence = (
        f"{code(facts.base_licence)}, that of the base model" if facts.base_licence else "not known: see the base model"
    )
    return "\n".join(
        [
            f"Licence: {licence}. The numbers above say how well it fits its own data, not how well it does elsewhere.",
            "",
            "> **To be written by its author:** what it is for, what it must not be used for, what it gets wrong, and what is in the data.",
        ]
    )
