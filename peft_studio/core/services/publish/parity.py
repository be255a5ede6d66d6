"""Whether a model made of an adapter answers as the adapter does: the same prompts here first, so that the other side can be held to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from peft_studio.core.services.check.problem import Problem
from peft_studio.core.services.publish.plan import EXPECTED, PushPlan
from peft_studio.core.services.run import Run

MOST_PROMPTS = 8
TOKENS = 32


def find_prompts(run: Run) -> list[str]:
    """Prompts that the run itself was watched with, each once."""
    asked = [*run.spec.sample_prompts, *(sample.prompt for sample in run.read()[0].samples)]
    return list(dict.fromkeys(asked))[:MOST_PROMPTS]


def check_prompts(prompts: Sequence[str], *, merged: bool = False) -> Iterator[Problem]:
    """A word on a model that nobody will have compared. A merged one is not offered then: nothing of the adapter is left to tell it by."""
    if merged and not prompts:
        text = (
            "The adapter is merged into its base for this, and no answers are there to compare the merged model's with."
        )
        yield Problem("parity_unasked", "blocking", text, "studio.push(…, prompts=['…', '…']) gives some.")
    elif not prompts:
        text = (
            "There are no prompts to compare answers with, so nobody will know whether it answers as the adapter does."
        )
        yield Problem("parity_unasked", "warning", text, "studio.push(…, prompts=['…', '…']) gives some.")


def expect_answers(plan: PushPlan, prompts: Sequence[str], ask: Callable[[str, int], str]) -> PushPlan:
    """A plan that the platform is to keep its promise to. ``ask(prompt, tokens)``: what the adapter answers here, greedily."""
    expected = [{"prompt": prompt, "answer": ask(prompt, TOKENS), "tokens": TOKENS} for prompt in prompts]
    return dataclasses.replace(plan, settings={**plan.settings, EXPECTED: expected}) if expected else plan
