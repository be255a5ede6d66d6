"""What goes wrong with base models, with a code that a program can branch on.

Knows the words only; who raises them is in ``trust``, ``facts``, ``fit`` and, for downloads and conversion, the runner.
"""

from __future__ import annotations

from typing import Literal

from peft_studio.core.errors import ModelError

FailureCode = Literal[
    "not-found",  # no folder, embedded model or hub repository of that name
    "gated",  # the hub knows it and says no
    "offline",  # the hub cannot be reached
    "hub-error",  # the hub answered with something else
    "untrusted",  # pickle, or code that nobody read
    "incomplete",  # config, weights or tokenizer missing or torn
    "not-installed",  # an embedded model's package is missing
    "unsupported",  # transformers cannot build this architecture or tokenizer
    "no-memory",
    "disk-full",
]


class ModelFailure(ModelError):
    """A :class:`ModelError` that also says which kind it is (``code``)."""

    def __init__(self, message: str, *, code: FailureCode, hint: str = "") -> None:
        super().__init__(message, hint=hint, fields=("model",))
        self.code: FailureCode = code
