"""Which of a few learning rates was best, and whether that is more than noise. Pure: losses in, a recommendation out.

The runs of a sweep see the same rows in the same order, so they are compared step by step: what a hard batch does to one it does to all,
and drops out of the difference. Steps that follow each other are alike; that is counted as fewer independent ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

TAIL = 1 / 3  # of the steps, the last ones, are compared
SURE = 2.3  # standard errors: 95 % with about ten independent steps
MOST_ALIKE = 0.9


@dataclass(frozen=True, slots=True)
class Trial:
    """What one learning rate has led to. ``eval_rows`` 0: nothing was held out."""

    learning_rate: float
    factor: float
    losses: Mapping[int, float]
    diverged: bool = False
    eval_loss: float | None = None
    eval_rows: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """A trial beside the best one. ``behind`` is how much worse, ``noise`` the standard error of that; None: it diverged."""

    trial: Trial
    loss: float | None
    behind: float | None
    noise: float | None

    @property
    def tied(self) -> bool:
        """Whether the difference to the best is within the noise."""
        return self.behind is not None and self.noise is not None and self.behind <= SURE * self.noise


@dataclass(frozen=True, slots=True)
class Recommendation:
    """``learning_rate`` is None when every rate diverged. ``clear``: the best is better by more than the noise. ``edge``: it is the
    lowest or highest tried, so a better one may lie beyond.
    """

    learning_rate: float | None
    clear: bool
    edge: Literal["lowest", "highest"] | None
    why: str
    standings: tuple[Standing, ...]

    @property
    def changes(self) -> dict[str, float]:
        """The recommendation as a change of the spec."""
        return {} if self.learning_rate is None else {"learning_rate": self.learning_rate}

    def __repr__(self) -> str:
        return self.why


def judge_trials(trials: Sequence[Trial], *, rows_per_step: int) -> Recommendation:
    """Compare trials by what they had not learnt yet: held-out rows where there are any, else the last third of the steps."""
    alive = [trial for trial in trials if not trial.diverged]
    if not alive:
        why = "Every learning rate diverged. Sweep again from a tenth of the lowest."
        return Recommendation(None, clear=False, edge="lowest", why=why, standings=tuple(_lost(t) for t in trials))
    held_out = all(trial.eval_loss is not None and trial.eval_rows for trial in alive)
    steps = _tail(alive)
    score = {t.learning_rate: _score(t, steps, held_out=held_out) for t in alive}
    best = min(alive, key=lambda trial: score[trial.learning_rate])
    standings = []
    for trial in trials:
        if trial.diverged:
            standings.append(_lost(trial))
            continue
        noise = _noise([trial.losses[step] - best.losses[step] for step in steps])
        if (
            held_out and noise is not None
        ):  # a step's difference is that of its rows' mean; these are other rows, and more
            noise *= sqrt(rows_per_step * len(steps) / trial.eval_rows)
        loss = score[trial.learning_rate]
        standings.append(Standing(trial, loss, loss - score[best.learning_rate], 0.0 if trial is best else noise))
    return _recommend(best, standings, held_out=held_out)


def _recommend(best: Trial, standings: Sequence[Standing], *, held_out: bool) -> Recommendation:
    rivals = [one for one in standings if one.trial is not best and not one.trial.diverged]
    unknown = any(one.noise is None for one in rivals)
    tied = [one.trial for one in standings if one.trial is best or one.tied]
    what = "held-out loss" if held_out else "loss over the last third"
    rates = sorted(one.trial.learning_rate for one in standings)
    if unknown or len(tied) > 1:
        keep = min(tied, key=lambda trial: abs(trial.factor - 1))
        reason = "too few steps to tell noise" if unknown else "the difference is within the noise"
        names = " and ".join(f"{trial.learning_rate:.3g}" for trial in sorted(tied, key=lambda t: t.learning_rate))
        why = f"No clear winner: {reason}{f' between {names}' if len(tied) > 1 else ''}. {keep.learning_rate:.3g} is as good as any; more steps would tell."
        return Recommendation(keep.learning_rate, clear=False, edge=None, why=why, standings=tuple(standings))
    lead = min((one for one in rivals), key=lambda one: one.behind or 0.0, default=None)
    by = f", {lead.behind:.3f} ± {SURE * (lead.noise or 0):.3f} below the next" if lead and lead.behind else ""
    why = f"{best.learning_rate:.3g} has the lowest {what}{by}."
    edge: Literal["lowest", "highest"] | None = None
    if len(rates) > 1 and best.learning_rate in (rates[0], rates[-1]):
        edge = "lowest" if best.learning_rate == rates[0] else "highest"
        why += f" It is the {edge} tried: sweep again around it."
    if edge == "highest":
        why += " Short runs favour high rates; a long one may want less."
    return Recommendation(best.learning_rate, clear=True, edge=edge, why=why, standings=tuple(standings))


def _tail(alive: Sequence[Trial]) -> list[int]:
    common = sorted(set.intersection(*(set(trial.losses) for trial in alive)))
    return common[-max(1, round(len(common) * TAIL)) :] if common else []


def _score(trial: Trial, steps: Sequence[int], *, held_out: bool) -> float:
    if held_out and trial.eval_loss is not None:
        return trial.eval_loss
    return fmean(trial.losses[step] for step in steps) if steps else float("inf")


def _lost(trial: Trial) -> Standing:
    return Standing(trial, None, None, None)


def _noise(differences: Sequence[float]) -> float | None:
    """Standard error of their mean, steps that follow each other being alike; None from fewer than three."""
    count = len(differences)
    if count < 3:
        return None
    spread, mean = stdev(differences), fmean(differences)
    if spread == 0:
        return 0.0
    alike = sum((a - mean) * (b - mean) for a, b in pairwise(differences)) / ((count - 1) * spread**2)
    alike = min(MOST_ALIKE, max(0.0, alike))
    return spread / sqrt(max(2.0, count * (1 - alike) / (1 + alike)))
