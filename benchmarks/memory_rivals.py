"""What two other estimators say of the same configurations.

accelerate's is called here, with its own function. fitcheck-llm 0.3.1 is not a dependency: put it into an environment of its own and
record what it says with ``python benchmarks/memory.py --fitcheck PATH/TO/ITS/python``, which runs this file there.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def ask_accelerate(parameters: int, precision: str) -> float:
    """Weights, gradients and Adam of all parameters: it knows neither adapters nor activations."""
    from accelerate.commands.estimate import estimate_training_usage

    dtype = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[precision]
    return float(max(estimate_training_usage(parameters * 4, dtype).values()))


def ask_fitcheck(asked: dict[str, Any]) -> float | None:
    """Tensors only, in bytes: all but its allowance for CUDA. None where it refuses the model or the setting."""
    from fitcheck import config_parser as parser
    from fitcheck.estimator import TrainingConfig, _compute_components

    raw, case = asked["config"], asked["case"]
    try:
        parser._reject_unsupported(raw, "model")
        fields = parser._parse_fields(raw)
        model = parser.ModelConfig(name="model", num_params=parser._count_params(fields), **vars(fields))
        bits = {"nf4": "nf4", "int4": "nf4", "int8": "int8", None: "none"}[case["quantization"]]
        training = TrainingConfig(
            precision=case["precision"], quantization=bits, double_quant=case["quantization"] == "nf4",
            batch_size=case["batch_size"], seq_len=case["max_length"], lora_rank=case["rank"], lora_targets=asked["targets"],
            grad_checkpoint=case["gradient_checkpointing"],
        )  # fmt: skip
        found = _compute_components(model, training, None)
    except (ValueError, KeyError, TypeError) as refused:
        print(refused, file=sys.stderr)
        return None
    return float((found.total_mib - found.overhead_mib) * 2**20)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(ask_fitcheck(json.loads(line))))
