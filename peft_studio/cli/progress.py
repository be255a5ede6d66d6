"""What a followed run looks like: a block of lines for a terminal that redraws, one line for everything else. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from peft_studio.cli import figures
from peft_studio.cli.follow import Seen
from peft_studio.cli.terminal import Line, cells, flow
from peft_studio.core.runs import events as ev
from peft_studio.widgets._text import plain

_BARS = "▁▂▃▄▅▆▇█"
_METHODS = {"lora": "LoRA", "qlora": "QLoRA", "dora": "DoRA", "pissa": "PiSSA", "rslora": "rsLoRA"}
NAME = 60  # characters of a name that are shown


def title(seen: Seen) -> str:
    """Which run this is: ``r-…  orders: LoRA on smollm2-135m, 400 rows``."""
    spec = seen.spec
    name = f"{plain(seen.state.name, limit=NAME)}: " if seen.state.name else ""
    method = _METHODS[spec.method] + (f" ({spec.quantization})" if spec.quantization else "")
    return f"{seen.folder.id}  {name}{method} on {plain(spec.model, limit=NAME)}, {spec.data.rows:,} rows"


def block(seen: Seen, *, width: int, unicode: bool) -> list[Line]:
    """The lines that are redrawn: state and bar, numbers, the curve of the loss."""
    word = figures.state_word(seen.state, seen.standing, now=seen.now)
    state: Line = [(word, figures.state_role(seen.standing))]
    pieces = [[(text, "muted" if seen.standing.stale else "")] for text in _numbers(seen)]
    lines = [_with_bar(state, seen, width=width, unicode=unicode), *flow(pieces, width)]
    if unicode and len(seen.losses) > 2 and width >= 30:
        lines.append([("loss ", "muted"), (sparkline(seen.losses, min(width - 5, 60)), "accent")])
    lines.append([("Ctrl-C leaves this view; the run goes on", "muted")])
    return lines


def line(seen: Seen) -> str:
    """The same in one line of plain text."""
    word = figures.state_word(seen.state, seen.standing, now=seen.now)
    share = f" ({seen.step / seen.total:.0%})".replace("%", " %") if seen.total and seen.step else ""
    where = [f"step {_step(seen)}{share}"] if seen.step else []
    return "  ".join([word, *where, *(_numbers(seen) if seen.step else [])])


def news(seen: Seen, *, first: bool = False) -> Iterator[tuple[str, str]]:
    """Lines that stay, with their role: what the fresh events say that a person should not miss.

    On the ``first`` look at a run that has a past, only what still matters of it.
    """
    for event in seen.fresh:
        if first and not isinstance(event, ev.Warned | ev.Planned):
            continue
        if isinstance(event, ev.Warned):
            yield f"Note at step {event.step:,}: {plain(event.message)}", "warn"
            if event.hint:
                yield f"  → {plain(event.hint)}", ""
        elif isinstance(event, ev.DevicesTaken) and event.processes > 1:
            yield f"On {plain(event.words)}: {plain(event.reason)}", "muted"
        elif isinstance(event, ev.Planned):
            yield plan_words(event), "muted"
        elif isinstance(event, ev.Evaluated):
            yield (
                f"Evaluation at step {event.step:,}: loss {figures.loss(event.loss)} on {event.rows:,} held-out rows",
                "",
            )
        elif isinstance(event, ev.Sampled):
            yield f"Answer at step {event.step:,}: {plain(event.text, limit=300)}", "muted"


def plan_words(plan: ev.Planned) -> str:
    """What the trainer is about to do, in one line."""
    share = plan.trainable_parameters / plan.total_parameters if plan.total_parameters else 0.0
    return (
        f"{plan.total_steps:,} steps on {plan.device} in {plan.precision}, training {plan.trainable_parameters / 1e6:.2f} M "
        f"of {plan.total_parameters / 1e6:,.0f} M parameters ({share:.1%}); {plan.loop} loop"
    ).replace("%)", " %)")


def sparkline(losses: Sequence[float], width: int) -> str:
    """The curve as a row of bars, lowest loss lowest. Steps whose loss is not a number are gaps."""
    columns = min(width, len(losses))
    groups = [losses[i * len(losses) // columns : (i + 1) * len(losses) // columns] for i in range(columns)]
    means = [_mean(group) for group in groups]
    known = [mean for mean in means if mean is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    top = len(_BARS) - 1
    return "".join(
        " " if mean is None else _BARS[round((mean - low) / (high - low) * top) if high > low else 0] for mean in means
    )


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def _numbers(seen: Seen) -> list[str]:
    found = []
    if seen.loss is not None:
        start = f", from {figures.loss(seen.first_loss)}" if seen.first_loss != seen.loss else ""
        found.append(f"loss {figures.loss(seen.loss)}{start}")
    if seen.eval_loss is not None:
        found.append(f"eval loss {figures.loss(seen.eval_loss)}")
    if seen.tokens_per_s is not None:
        found.append(f"{figures.rate(seen.tokens_per_s)} tokens/s")
    if seen.memory_bytes is not None and seen.standing.state != "queued":
        found.append(f"memory {figures.gib(seen.memory_bytes)}")
    if seen.left is not None:
        found.append(figures.remaining(seen.left.value_s, seen.left.low_s, seen.left.high_s))
    return found


def _step(seen: Seen) -> str:
    return f"{seen.step:,} of {seen.total:,}" if seen.total else f"{seen.step:,}"


def _with_bar(state: Line, seen: Seen, *, width: int, unicode: bool) -> Line:
    if not seen.total or (not seen.step and seen.state.state != "training"):
        return state
    share = min(1.0, seen.step / seen.total)
    words: Line = [*state, (f"  step {_step(seen)}", "")]
    percent = f" {share * 100:3.0f} %"
    room = min(40, width - sum(cells(text) for text, _ in words) - len(percent) - 2)
    if room < 5:
        return words
    full, empty = ("━", "─") if unicode else ("#", "-")
    done = round(share * room)
    return [*words, ("  ", ""), (full * done, "accent"), (empty * (room - done), "muted"), (percent, "")]
