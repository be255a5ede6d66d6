"""What a run will need, before it starts: pure functions from a model's shapes and a spec to numbers."""

from peft_studio.core.estimators.estimate import Estimate
from peft_studio.core.estimators.memory import estimate_inference_memory, estimate_training_memory
from peft_studio.core.estimators.step_shape import StepShape
from peft_studio.core.estimators.training_memory import count_training_bytes

__all__ = [
    "Estimate",
    "StepShape",
    "count_training_bytes",
    "estimate_inference_memory",
    "estimate_training_memory",
]
