"""What a run will need, before it starts: pure functions from a model's shapes and a spec to numbers."""

from peft_studio.core.estimators.corrections import Correction, Outcome, learn_corrections
from peft_studio.core.estimators.cost import estimate_cost
from peft_studio.core.estimators.duration import estimate_duration
from peft_studio.core.estimators.estimate import Estimate
from peft_studio.core.estimators.fit import FITS, Fit, find_fit
from peft_studio.core.estimators.memory import estimate_inference_memory, estimate_training_memory, takes_fast_loop
from peft_studio.core.estimators.rows import RowMix, build_row_mix
from peft_studio.core.estimators.step_shape import StepShape
from peft_studio.core.estimators.training_memory import count_training_bytes

__all__ = [
    "FITS",
    "Correction",
    "Estimate",
    "Fit",
    "Outcome",
    "RowMix",
    "StepShape",
    "build_row_mix",
    "count_training_bytes",
    "estimate_cost",
    "estimate_duration",
    "estimate_inference_memory",
    "estimate_training_memory",
    "find_fit",
    "learn_corrections",
    "takes_fast_loop",
]
