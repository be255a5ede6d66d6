"""transformers' Trainer, loaded without the package ``datasets``: a sixth of all that a trainer loads, to ask whether rows are its own.

Ours never are (see ``rows``). With it go pandas and pyarrow: 0.9 s and 80 MB of every run's start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def without_datasets() -> Iterator[None]:
    """What of transformers is loaded inside takes ``datasets`` for not installed, and keeps to that; what comes later does not."""
    from transformers import utils

    asked = utils.is_datasets_available
    utils.is_datasets_available = lambda: False
    try:
        yield
    finally:
        utils.is_datasets_available = asked
