"""A value that nobody sees by accident. It knows nothing of where the value is kept."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, NoReturn, final

HIDDEN = "***"


@final
class Secret:
    """A handle on a key, token or passphrase. Only :meth:`reveal` gives the value; whoever calls it is about to send or seal it.

    It prints as ``***`` however it is printed, compares in constant time, cannot be a dictionary's key, and refuses to be pickled,
    turned into JSON or dumped by pydantic. A copy of it is itself. The value stands in a closure, so that a debugger's list of
    attributes does not show it. Python cannot wipe memory: the value stays in it until its page is used again.
    """

    __slots__ = ("_reveal",)
    _reveal: Callable[[], str]
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"A Secret is made from text, not from {type(value).__name__}.")
        if not value:
            raise ValueError("A Secret cannot be empty.")
        object.__setattr__(self, "_reveal", lambda: value)

    def reveal(self) -> str:
        """The value itself. Keep it out of variables that outlive the call that needs it."""
        return self._reveal()

    def __str__(self) -> str:
        return HIDDEN

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self), _bytes(other))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("A Secret does not change. Make another.")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        _refuse(self)

    def __getstate__(self) -> NoReturn:
        _refuse(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """A field takes text, too: refusing it would print it, as pydantic's errors quote their input. Dumping always fails.

        A model with such a field sets ``hide_input_in_errors``: the errors of its other fields quote the whole input.
        """
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(value),
            serialization=core_schema.plain_serializer_function_ser_schema(_refuse),
        )


def _bytes(secret: Secret) -> bytes:
    return secret.reveal().encode("utf-8", "surrogatepass")


def _refuse(secret: object) -> NoReturn:
    raise TypeError("A Secret does not leave its process. Keep it in the vault and pass the name of its entry.")
