"""The quickstart's task, written for it: an order in words becomes a JSON record. The base model cannot do it, the tuned one can.

``orders.jsonl`` has 400 rows to train on. ``held_out.jsonl`` has 30 prompts with their answers that are in none of them; the last ten
name customers, and some of them goods, that the training rows never mention.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

# 25 steps of 4 rows took the base model from 0 to about 30 of 30 exact on two CPU cores in under a minute.
SETTINGS: dict[str, Any] = {
    "rank": 8, "learning_rate": 1e-3, "max_steps": 30, "batch_size": 4, "gradient_accumulation_steps": 1, "dropout": 0.0,
    "warmup_ratio": 0.05,
}  # fmt: skip
MODEL = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A prompt and the answer that counts as exact."""

    prompt: str
    answer: str


def data_path() -> Path:
    """The file of training rows."""
    return Path(str(resources.files(__package__) / "orders.jsonl"))


def rows() -> list[dict[str, Any]]:
    """The training rows."""
    return [json.loads(line) for line in data_path().read_text(encoding="utf-8").splitlines()]


def prompts() -> list[HeldOut]:
    """Prompts that training never saw."""
    text = (resources.files(__package__) / "held_out.jsonl").read_text(encoding="utf-8")
    return [HeldOut(**json.loads(line)) for line in text.splitlines()]


def is_exact(answer: str, expected: str) -> bool:
    """Whether an answer is the expected record: the same JSON, whatever its spacing."""
    try:
        return bool(json.loads(answer) == json.loads(expected))
    except ValueError:
        return False
