"""A trainer begins without the package ``datasets``; who asks transformers for it later is told that it is there."""

from __future__ import annotations

import subprocess
import sys

LOAD = """
import sys
from peft_studio.runner.trainer.job import Job
from peft_studio.runner.trainer.loop import StudioTrainer
print(*(name for name in ("datasets", "pandas", "pyarrow") if name in sys.modules), "|")
import transformers, transformers.trainer, transformers.utils
assert issubclass(StudioTrainer, transformers.Trainer)
print(transformers.trainer.is_datasets_available(), transformers.utils.is_datasets_available())
"""


def test_datasets_is_not_loaded_and_not_hidden() -> None:
    """Neither it nor what it brings, by all that a job loads; only the Trainer goes without it."""
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["|", "False", "True"]
