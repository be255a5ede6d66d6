"""What passes between the kernel and a connector's own process: frames of JSON, and the form of each verb's arguments and results.

Nothing else can pass. No class is named by the other side and none is unpickled: a result is read as what its verb gives, field by
field. Keys go in the one message of the call that needs them. Ports give values and never iterators, so none crosses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from peft_studio.connectors.base.clauses import CALLED_WITH
from peft_studio.core import errors
from peft_studio.core.errors import Cancelled, ConnectorError, StudioError
from peft_studio.core.ports.download import Fetched, Order, Progress
from peft_studio.core.ports.offers import OfferQuery, Offers
from peft_studio.core.ports.platform import Account, Capability, ConnectorInfo, Keys, Sentence, Value, Word
from peft_studio.core.ports.registry import ModelDetails, ModelFile, Page, Published, Query, Upload
from peft_studio.core.ports.rental import Ended, Instance, Instances, Invoice, LogLines, Rent, Way
from peft_studio.core.redact import Secret

LARGEST_BYTES = 64 * 2**20  # of one message: 50,000 files of a model are 10 MiB
LENGTH_BYTES = 4


class Facts(Value):
    """What a connector's class says of itself. ``verbs``: those that it has."""

    unsupported: Mapping[Capability, Sentence]
    verbs: tuple[Word, ...]


class Told(Value):
    """A typed error on its way. ``kind``: its class, or the nearest above it that is ours."""

    kind: Word
    message: str
    hint: str = ""
    fields: tuple[str, ...] = ()
    platform: str = ""
    status: int | None = None
    retry_after_s: float | None = None
    may_have_happened: bool = False


class Failed(Value):
    """An exception that is none of ours, by name and text."""

    kind: Word
    said: str


GIVES: Mapping[str, type[Value]] = {
    "info": ConnectorInfo, "facts": Facts, "way": Way,
    "connect": Account, "search": Page, "get_model": ModelDetails, "fetch_artifact": Fetched, "upload_artifact": Published,
    "list_offers": Offers, "submit_job": Instance, "list_instances": Instances, "end_instance": Ended, "stream_logs": LogLines,
    "list_charges": Invoice,
}  # fmt: skip
"""What each question and verb gives."""

_VALUES: Mapping[str, type[Value]] = {"search": Query, "list_offers": OfferQuery}
_ERRORS = {
    name: cls for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, StudioError)
}  # fmt: skip
_PROGRESS: TypeAdapter[Progress] = TypeAdapter(Progress)
_SINCE: TypeAdapter[datetime] = TypeAdapter(datetime)


def write_frame(file: IO[bytes], message: Mapping[str, Any]) -> None:
    """Send one message."""
    content = json.dumps(message).encode("ascii")
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"a message of {len(content):,} bytes, where {LARGEST_BYTES:,} are the most")
    file.write(len(content).to_bytes(LENGTH_BYTES, "big") + content)
    file.flush()


def read_frame(file: IO[bytes]) -> dict[str, Any] | None:
    """The next message; None once there are no more.

    Raises:
        ValueError: It is none.
    """
    size = int.from_bytes(file.read(LENGTH_BYTES), "big")
    if size > LARGEST_BYTES:
        raise ValueError(f"a message of {size:,} bytes")
    content = file.read(size)
    if not size or len(content) < size:
        return None
    message = json.loads(content)
    if not isinstance(message, dict):
        raise ValueError("a message without fields")
    return message


def pack_keys(keys: Keys) -> dict[str, str]:
    """Keys for the one message that is about to be sent."""
    return {name: key.reveal() for name, key in keys.items()}


def unpack_keys(keys: Mapping[str, str]) -> Keys:
    """Keys as a connector gets them."""
    return {name: Secret(value) for name, value in keys.items()}


def name_arguments(verb: str, given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """A verb's arguments by name."""
    names = CALLED_WITH.get(verb, ())
    if len(given) > len(names) or not named.keys() <= set(names[len(given) :]):
        raise TypeError(f"{verb} takes ({', '.join(names)})")
    return dict(zip(names, given, strict=False)) | dict(named)


def pack_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """A verb's arguments as JSON can hold them. Paths are made absolute: the other process may stand elsewhere."""
    return {name: _pack(value) for name, value in given.items() if not callable(value)}


def _pack(value: Any) -> Any:
    if isinstance(value, Upload):
        there = tuple(one.model_copy(update={"source": os.path.abspath(one.source)}) for one in value.files)
        value = value.model_copy(update={"files": there})
    if isinstance(value, Value):
        return value.model_dump(mode="json")
    if isinstance(value, Order):
        files = [file.model_dump(mode="json") for file in value.files]
        return {"model": value.model, "files": files, "to": os.path.abspath(value.to), "revision": value.revision}
    if isinstance(value, Rent):
        return _pack_rent(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _pack_rent(rent: Rent) -> dict[str, Any]:
    plain = {name: getattr(rent, name) for name in ("label", "boot", "disk_gib", "ports", "public_key")}
    most, key = rent.max_usd_per_hour, rent.host_key
    return plain | {
        "offer": rent.offer.model_dump(mode="json"), "settings": dict(rent.settings), "secrets": pack_keys(rent.secrets),
        "max_usd_per_hour": None if most is None else str(most), "host_key": key and key.reveal(),
    }  # fmt: skip


def unpack_arguments(verb: str, given: Mapping[str, Any], live: Mapping[str, Any]) -> list[Any]:
    """A verb's arguments, in their order. ``live``: what cannot be sent and is made here: ``tell``, ``stop``."""
    values = dict(given)
    if verb in _VALUES:
        values["query"] = _VALUES[verb].model_validate(values["query"])
    elif verb == "fetch_artifact":
        order = dict(values["order"])
        files = tuple(ModelFile.model_validate(file) for file in order.pop("files"))
        values["order"] = Order(**{**order, "files": files, "to": Path(order["to"])}, **live)
    elif verb == "upload_artifact":
        values = {"upload": Upload.model_validate(values["upload"]), "report": live["tell"]}
    elif verb == "submit_job":
        values["rent"] = TypeAdapter(Rent).validate_python(values["rent"])
    elif verb == "list_charges":
        values["since"] = _SINCE.validate_python(values["since"])
    return [values[name] for name in CALLED_WITH.get(verb, ())]


def pack_progress(told: Any) -> Any:
    """What a transfer says of itself: a number of bytes, or a Progress."""
    return asdict(told) if isinstance(told, Progress) else int(told)


def unpack_progress(told: Any) -> Progress | int:
    """The same, here."""
    return _PROGRESS.validate_python(told) if isinstance(told, dict) else int(told)


def pack_error(exc: StudioError) -> dict[str, Any]:
    """A typed error with its fields.

    Raises:
        AttributeError: It was never made as its base is.
    """
    kind = next(cls.__name__ for cls in type(exc).__mro__ if _ERRORS.get(cls.__name__) is cls)
    fields = ("platform", "status", "retry_after_s", "may_have_happened") if isinstance(exc, ConnectorError) else ()
    return Told(
        kind=kind, message=exc.message, hint=exc.hint, fields=exc.fields, **{name: getattr(exc, name) for name in fields}
    ).model_dump(mode="json")  # fmt: skip


def unpack_error(error: Any) -> StudioError:
    """The same, here; of a kind that is not known a StudioError."""
    told = Told.model_validate(error)
    kind = _ERRORS.get(told.kind, StudioError)
    found = kind(told.message, hint=told.hint)
    found.fields = told.fields
    if isinstance(found, ConnectorError):
        found.platform, found.status, found.retry_after_s = told.platform, told.status, told.retry_after_s
        found.may_have_happened = told.may_have_happened
    return found


def called_off(platform: str) -> Cancelled:
    """What a transfer is told when nobody wants it any more."""
    return Cancelled("It was called off.", hint="What has arrived is kept; ask again.", platform=platform)
