"""A machine's speed as if it had been measured, for tests of what uses it: measuring takes ten seconds, and needs a machine of one's own."""

from __future__ import annotations

import json
from pathlib import Path

from peft_studio.core.services import device_speed

LOOPS = [
    {
        "precision": precision, "loop": loop, "fixed_s": 1e-3, "layer_s": 4e-3, "weight_s": 1e-10, "s_per_flop": 1e-11, "s_per_byte": 1e-10,
        "attention_s": 5e-11, "logit_s": 1e-8, "dropout_s": 1e-9,
    }
    for precision in ("fp32", "bf16")
    for loop in ("fast", "reference")
]  # fmt: skip
MEASURED = {
    "loops": LOOPS,
    "matmul": {"fp32": [1e11, 1e11]},
    "memory_bytes_per_s": 2e10,
    "unpack_s": {},
    "imports_s": 5.0,
    "disk_bytes_per_s": 5e8,
}


def write_speed(home: Path) -> Path:
    """Have this machine measured in ``home``; return the home."""
    home.mkdir(parents=True, exist_ok=True)
    record = {
        "version": device_speed.VERSION,
        "machine": device_speed.machine_identity(),
        "at": 1.8e9,
        "busy": 0.0,
        **MEASURED,
    }
    (home / device_speed.FILE).write_text(json.dumps(record))
    return home
