"""The same prompts asked of the bare base model and of the tuned one, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peft_studio.cli.terminal import Terminal
from peft_studio.core.chat import Chat
from peft_studio.quickstart import HeldOut, is_exact
from peft_studio.widgets._text import plain

MOST_TOKENS = 64  # the longest right answer has 44
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """One prompt with both answers."""

    asked: HeldOut
    base: str
    tuned: str

    @property
    def base_right(self) -> bool:
        return is_exact(self.base, self.asked.answer)

    @property
    def tuned_right(self) -> bool:
        return is_exact(self.tuned, self.asked.answer)


def compare(chat: Chat, held_out: Sequence[HeldOut], terminal: Terminal) -> list[Answered]:
    """Ask everything twice; says how far it is where the terminal can."""
    base = _ask(chat, held_out, terminal, adapter=None)
    tuned = _ask(chat, held_out, terminal, adapter="tuned")
    terminal.clear()
    return [Answered(*row) for row in zip(held_out, base, tuned, strict=True)]


def _ask(chat: Chat, held_out: Sequence[HeldOut], terminal: Terminal, *, adapter: str | None) -> list[str]:
    who = "the tuned model" if adapter else "the base model"

    def tell(number: int) -> None:
        if terminal.live:
            terminal.show([[(f"  asking {who}: {number} of {len(held_out)} answered", "muted")]])

    if terminal.live:
        tell(0)
    else:
        terminal.say(f"  asking {who} …")
    prompts = [one.prompt for one in held_out]
    answers = chat.ask_many(prompts, adapter=adapter, max_new_tokens=MOST_TOKENS, on_answer=tell)
    return [answer.strip() for answer in answers]


def say_comparison(answered: Sequence[Answered], terminal: Terminal) -> None:
    """The count, and some answers side by side: those that were asked of both, one the tuned model got wrong among them."""
    count = len(answered)
    terminal.say("                exact match")
    terminal.say(f"  base model    {sum(a.base_right for a in answered):>2} of {count}")
    terminal.say(f"  tuned model   {sum(a.tuned_right for a in answered):>2} of {count}", "bold")
    terminal.say("  Exact means the same JSON record: customer, item, quantity, city and day all right.", "muted")
    wrong = [a for a in answered if not a.tuned_right][:1]
    shown = [*[a for a in answered if a.tuned_right][: SHOWN - len(wrong)], *wrong]
    for one in shown:
        terminal.say(f"\n  order   {plain(one.asked.prompt.partition(': ')[2] or one.asked.prompt)}")
        terminal.say(f"  base    {_one_line(one.base)}", "muted")
        terminal.say(f"  tuned   {_one_line(one.tuned)}{'' if one.tuned_right else '   (not exact)'}")
        if not one.tuned_right:
            terminal.say(f"  right   {_one_line(one.asked.answer)}")


def _one_line(text: str) -> str:
    return plain(" ".join(text.split()), limit=160) or "(nothing)"
