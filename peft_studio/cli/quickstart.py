"""``peft-studio quickstart``: the whole job once, small and real: data → spec → run → adapter → answers before and after."""

from __future__ import annotations

import argparse

from peft_studio import quickstart
from peft_studio._studio import Studio
from peft_studio.cli.before_after import compare, say_comparison
from peft_studio.cli.terminal import Terminal
from peft_studio.cli.watch import DONE, follow
from peft_studio.core.data import Dataset
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.services.prepare import require_train_extra
from peft_studio.core.services.run import Run
from peft_studio.widgets._text import plain

STEPS = 5
SHOWN = (
    "target_modules",
    "alpha",
    "lr_scheduler",
    "warmup_ratio",
    "assistant_only_loss",
    "max_length",
    "precision",
    "save_steps",
)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Do the whole job and say at each step what happens and why."""
    require_train_extra()
    studio = Studio(home=arguments.home)
    held_out = quickstart.prompts()
    terminal.say("PEFT Studio quickstart", "bold")
    terminal.say(
        f"Fine-tunes SmolLM2 135M to turn orders in words into JSON: {len(quickstart.rows())} rows, on this machine. Then asks it "
        f"{len(held_out)} orders that are not among them, before and after. About three minutes on two CPU cores; no account, "
        "no network, no GPU."
    )
    terminal.say(f"Everything stays in {studio.home}.")
    _head(terminal, 1, "The base model")
    folder = studio.prepare(quickstart.MODEL)
    terminal.say(f"  {quickstart.MODEL} stands in {folder}")
    _head(terminal, 2, "The data, checked before anything is trained")
    data = studio.data(str(quickstart.data_path()))
    spec = studio.spec(model=quickstart.MODEL, data=data, name="quickstart", **quickstart.SETTINGS)
    _say_data(data, spec, terminal)
    _head(terminal, 3, "The run spec")
    _say_spec(spec, terminal)
    _head(terminal, 4, "The run: a process of its own, which outlives this terminal")
    launched = studio.launch(spec)
    status = follow(launched, terminal)
    if status != DONE:
        return status
    _head(terminal, 5, f"The answer to {len(held_out)} orders that training never saw")
    with studio.chat(quickstart.MODEL, adapters={"tuned": launched.adapter}) as chat:
        answered = compare(chat, held_out, terminal)
    say_comparison(answered, terminal)
    _say_next(launched, str(folder), terminal)
    return DONE


def _head(terminal: Terminal, number: int, text: str) -> None:
    terminal.say(f"\n{number} of {STEPS}  {text}", "bold")


def _say_data(data: Dataset, spec: ExplainedSpec, terminal: Terminal) -> None:
    report = data.report(quickstart.MODEL, max_length=spec.max_length, assistant_only=spec.assistant_only_loss)
    terminal.say(f"  {report.rows:,} rows, recognised as {report.format}")
    if report.lengths and report.learnt_share is not None:
        lengths = report.lengths
        terminal.say(
            f"  tokens a row: median {lengths.p50:,}, longest {lengths.max:,}; {report.learnt_share:.0%} of them are learnt".replace(
                "% ", " % "
            )
        )
    terminal.say(
        f"  {report.duplicates:,} duplicates, {report.cut_rows or 0:,} rows cut, template {report.template or 'none'}"
    )
    for finding in report.findings:
        if finding.severity != "info":
            terminal.say(f"  {plain(str(finding))}", "warn")
    row = next(iter(data))["messages"]
    terminal.say(f"  for instance  {plain(row[0]['content'])}", "muted")
    terminal.say(f"             →  {plain(row[1]['content'])}", "muted")


def _say_spec(spec: ExplainedSpec, terminal: Terminal) -> None:
    chosen = ", ".join(f"{name}={value}" for name, value in quickstart.SETTINGS.items())
    terminal.say(f"  Set for a run this short: {chosen}.")
    terminal.say("  Every other field has a default with its reason, among them:")
    reasons = spec.explain()
    width = max(len(name) for name in SHOWN)
    for name in SHOWN:
        terminal.beside([(f"    {name:<{width}}  {reasons[name].value!s:<10}  ", "")], reasons[name].why, "muted")


def _say_next(launched: Run, folder: str, terminal: Terminal) -> None:
    terminal.say("\nThe adapter is in peft's own format, and plain peft loads it:", "bold")
    terminal.exact(
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM",
        f"base = AutoModelForCausalLM.from_pretrained({folder!r})",
        f"model = PeftModel.from_pretrained(base, {str(launched.adapter.path)!r})",
    )
    terminal.say("\nNext: talk to it, list the runs, follow one again", "bold")
    terminal.exact(
        terminal.command("chat", quickstart.MODEL, "--adapter", launched.id),
        terminal.command("runs"),
        terminal.command("attach", launched.id),
    )
    terminal.say(
        "Your own data: examples/finetune.py is the same job in twenty lines; docs/data.md says what a file may hold."
    )
