"""A secret's value does not come out by accident."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from peft_studio.core.vault import Secret

CANARY = "hf_CanaryCanaryCanaryCanaryCanary0123"


@dataclasses.dataclass
class Account:
    """What a connector may hold."""

    name: str
    token: Secret


class Field(pydantic.BaseModel):
    """What a model may hold."""

    token: Secret


def logged(secret: Secret) -> str:
    record = logging.LogRecord("x", logging.INFO, "file", 1, "%s %r %5s", (secret, secret, [secret]), None)
    return logging.Formatter().format(record)


def traced(secret: Secret) -> str:
    try:
        raise RuntimeError(f"could not send {secret}")
    except RuntimeError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


SHOWN: dict[str, Callable[[Secret], object]] = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "f-string": lambda secret: f"{secret} {secret!r} {secret:>60}",
    "format": "{:.3s}|{0!a}".replace("{:", "{0:").format,
    "percent": lambda secret: "%s %r %.2s" % (secret, secret, secret),  # noqa: UP031
    "in containers": lambda secret: repr([secret, {"a": secret}, (secret,)]),
    "pprint": pprint.pformat,
    "dataclass": lambda secret: repr(Account("me", secret)),
    "asdict": lambda secret: repr(dataclasses.asdict(Account("me", secret))),
    "pydantic repr": lambda secret: repr(Field(token=secret)),
    "log": logged,
    "traceback with locals": traced,
    "every attribute": lambda secret: inspect.getmembers(secret, lambda found: not inspect.ismethod(found)),
    "deepcopy": lambda secret: repr(copy.deepcopy({"a": secret})),
    "json default=str": lambda secret: json.dumps({"a": secret}, default=str),
}

REFUSED: dict[str, Callable[[Secret], object]] = {
    "pickle": pickle.dumps,
    "pickle 0": lambda secret: pickle.dumps(secret, protocol=0),
    "reduce": lambda secret: secret.__reduce__(),
    "reduce_ex": lambda secret: secret.__reduce_ex__(2),
    "getstate": lambda secret: secret.__getstate__(),
    "json": json.dumps,
    "json in a list": lambda secret: json.dumps([secret]),
    "vars": vars,
    "bytes": lambda secret: bytes(secret),  # type: ignore[call-overload]
    "iteration": lambda secret: list(secret),  # type: ignore[call-overload]
    "join": lambda secret: "".join([secret]),  # type: ignore[list-item]
    "concatenation": lambda secret: "Bearer " + secret,  # type: ignore[operator]
    "hash": hash,
    "change": lambda secret: setattr(secret, "_reveal", str),
    "model_dump": lambda secret: Field(token=secret).model_dump(),
    "model_dump json mode": lambda secret: Field(token=secret).model_dump(mode="json"),
    "model_dump_json": lambda secret: Field(token=secret).model_dump_json(),
}


@pytest.mark.parametrize("way", SHOWN)
def test_shows_stars(way: str) -> None:
    """Whatever prints it shows no part of it that could be used."""
    shown = str(SHOWN[way](Secret(CANARY)))

    assert "Canary" not in shown
    assert "hf_" not in shown


@pytest.mark.parametrize("way", REFUSED)
def test_refuses(way: str) -> None:
    """Whatever would carry it elsewhere fails, and the failure does not tell it."""
    with pytest.raises((TypeError, AttributeError, pydantic.ValidationError, ValueError)) as caught:
        REFUSED[way](Secret(CANARY))

    told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "Canary" not in told


def test_reveals_only_on_request() -> None:
    """``reveal`` gives what was put in, whatever it is."""
    for value in (CANARY, " ", "é\n中\x00", "\ud800"):
        assert Secret(value).reveal() == value


@pytest.mark.parametrize(
    ("other", "same"), [(Secret(CANARY), True), (Secret("other"), False), (CANARY, False), (None, False)]
)
def test_compares_by_value_with_secrets_alone(other: Any, same: bool) -> None:
    """Text is never equal to a secret: whoever compares them has the value where it should not be."""
    assert (Secret(CANARY) == other) is same


def test_empty_or_other_things_are_no_secret() -> None:
    """A mistake is said without quoting what was given."""
    with pytest.raises(ValueError, match="empty"):
        Secret("")
    with pytest.raises(TypeError) as caught:
        Secret(CANARY.encode())  # type: ignore[arg-type]

    assert "Canary" not in str(caught.value)


def test_pydantic_takes_text_without_quoting_it() -> None:
    """A key that arrives as text becomes a handle; what cannot be one is refused without being shown."""
    assert Field.model_validate({"token": CANARY}).token == Secret(CANARY)
    assert "Canary" not in repr(Field.model_validate_json(json.dumps({"token": CANARY})))
