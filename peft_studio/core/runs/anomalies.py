"""Rules that watch a run's numbers and say what a person should know. Pure: numbers in, warnings out.

Bounds for gradient norm, loss range and plateau are those of Axolotl's training-stability guide; the others are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite, log

from peft_studio.core.runs.events import Warned
from peft_studio.core.spec import RunSpec

GRAD_NORM_HIGH = 100.0
GRAD_NORM_STEPS = 3
FLAT_SHARE = 0.2  # of the run
FLAT_BAND = 0.01  # ±1 %
FLAT_LEAST_STEPS = 20
MEMORISED_LOSS = 0.1
MEMORISED_ROWS = 1000
EXPLODED_LOSS = 10.0
EXPLODED_STEPS = 5
SMOOTHING = 0.9


@dataclass(slots=True)
class AnomalyWatch:
    """Sees every logged step once. Each rule speaks once a run."""

    spec: RunSpec
    total_steps: int
    vocabulary: int
    train_rows: int
    _said: set[str] = field(default_factory=set)
    _high_norms: int = 0
    _high_losses: int = 0
    _first_loss: float | None = None
    _smooth: float | None = None
    _flat_since: tuple[int, float] | None = None
    _evaluations: list[tuple[float, float]] = field(default_factory=list)

    def see_step(self, step: int, *, loss: float, grad_norm: float | None) -> list[Warned]:
        """What this step gives reason to say."""
        found = [
            self._first(step, loss),
            self._norm(step, grad_norm),
            self._memorising(step, loss),
            self._flat(step, loss),
        ]
        fresh = [warning for warning in found if warning and warning.code not in self._said]
        self._said.update(warning.code for warning in fresh)
        return fresh

    def see_evaluation(self, step: int, *, eval_loss: float) -> list[Warned]:
        """What this evaluation gives reason to say: three in a row worse while training loss falls."""
        self._evaluations.append((self._smooth or 0.0, eval_loss))
        last = self._evaluations[-4:]
        falling = all(later[0] < earlier[0] for earlier, later in pairwise(last))
        rising = all(later[1] > earlier[1] for earlier, later in pairwise(last))
        if len(last) < 4 or not (falling and rising) or "overfitting" in self._said:
            return []
        self._said.add("overfitting")
        text = "Evaluation loss rose three times in a row while training loss fell: the model is learning the rows by heart."
        hint = "Stop and save; an earlier checkpoint is likely better. Fewer epochs next time."
        return [_warning("overfitting", step, text, hint, epochs=max(1.0, self.spec.epochs / 2))]

    def failure_code(self, loss: float) -> str | None:
        """The code to fail with when going on would only spoil the adapter; None while all is well."""
        if not isfinite(loss):
            return "loss_not_finite"
        bound = max(EXPLODED_LOSS, 5 * (self._first_loss or 0.0))
        self._high_losses = self._high_losses + 1 if loss > bound else 0
        return "loss_exploded" if self._high_losses >= EXPLODED_STEPS else None

    def _first(self, step: int, loss: float) -> Warned | None:
        if self._first_loss is not None:
            return None
        self._first_loss = loss
        random_loss = log(self.vocabulary)
        if loss <= 1.5 * random_loss:
            return None
        text = f"The first loss is {loss:.1f}; guessing among {self.vocabulary:,} tokens gives {random_loss:.1f}. Template or loss mask are probably wrong."
        return _warning(
            "first_loss_high",
            step,
            text,
            "Look at data.preview(model=…): are the marked tokens what the model should say?",
        )

    def _norm(self, step: int, grad_norm: float | None) -> Warned | None:
        self._high_norms = self._high_norms + 1 if grad_norm is not None and grad_norm > GRAD_NORM_HIGH else 0
        if self._high_norms < GRAD_NORM_STEPS:
            return None
        text = f"Gradient norm stayed above {GRAD_NORM_HIGH:g} for {GRAD_NORM_STEPS} steps (now {grad_norm:.0f})."
        hint = "Halve the learning rate if the loss does not come back."
        return _warning("grad_norm_high", step, text, hint, learning_rate=self.spec.learning_rate / 2)

    def _memorising(self, step: int, loss: float) -> Warned | None:
        # _smooth is still that of the step before: one lucky batch is no reason to speak.
        if loss >= MEMORISED_LOSS or self.train_rows >= MEMORISED_ROWS or (self._smooth or 1.0) >= MEMORISED_LOSS:
            return None
        text = f"Loss is below {MEMORISED_LOSS:g} on {self.train_rows} rows. Either the task is easy, or the rows are being memorised."
        hint = "Check answers on rows that were held out; hold some out with split=0.1 if none were."
        return _warning("memorising", step, text, hint)

    def _flat(self, step: int, loss: float) -> Warned | None:
        self._smooth = loss if self._smooth is None else SMOOTHING * self._smooth + (1 - SMOOTHING) * loss
        if self._flat_since is None or abs(self._smooth - self._flat_since[1]) > FLAT_BAND * abs(self._flat_since[1]):
            self._flat_since = (step, self._smooth)
            return None
        length = step - self._flat_since[0]
        if length < max(FLAT_LEAST_STEPS, FLAT_SHARE * self.total_steps) or self._smooth < MEMORISED_LOSS:
            return None
        text = f"Loss has stayed within 1 % of {self._smooth:.3f} since step {self._flat_since[0]}."
        hint = "A higher learning rate usually helps; near the end of a run it may simply be done."
        return _warning("loss_flat", step, text, hint, learning_rate=self.spec.learning_rate * 3)


def _warning(code: str, step: int, message: str, hint: str, **changes: float) -> Warned:
    return Warned(code=code, step=step, message=message, hint=hint, changes=changes)
