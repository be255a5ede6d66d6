"""The contract that a connector keeps, clause by clause: what the catalog refuses, and says all at once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from peft_studio.core.errors import BadConnector
from peft_studio.core.ports.platform import VERBS, Capability, ConnectorInfo

# What each verb is called with.
CALLED_WITH: Mapping[str, tuple[str, ...]] = {
    "connect": (),
    "search": ("query",),
    "get_model": ("model",),
    "fetch_artifact": ("order",),
    "upload_artifact": ("upload", "report"),
    "list_offers": ("query",),
    "submit_job": ("rent",),
    "list_instances": (),
    "end_instance": ("instance_id",),
    "stream_logs": ("instance_id", "after"),
    "list_charges": ("since",),
}
# Who can do the first must be able to do the others: what is bought is found again, and ended.
ALONG: Mapping[str, tuple[str, ...]] = {"submit_job": ("list_instances", "end_instance")}


def find_info_faults(name: str, info: object) -> list[str]:
    """What is wrong with what an entry point leads to, which must be a ConnectorInfo named as the entry point."""
    if not isinstance(info, ConnectorInfo):
        return [f"the entry point leads to a {type(info).__name__} where a ConnectorInfo belongs"]
    try:
        ConnectorInfo.model_validate(info)
    except ValidationError as exc:
        return describe(exc)
    if info.name != name:
        return [f"its name is {info.name!r}, and that of its entry point {name!r}"]
    return []


def find_class_faults(info: ConnectorInfo, cls: object) -> list[str]:
    """What is wrong with a connector's class, for every role it claims."""
    if not isinstance(cls, type):
        return [f"{info.connector} is a {type(cls).__name__} where a class belongs"]
    faults = []
    if not _takes(cls, 1):
        faults.append(f"{cls.__name__}(keys) cannot be called: its keys must be its one required argument")
    if getattr(cls, "info", None) != info:
        faults.append("`info` is not the ConnectorInfo that its entry point leads to")
    reasons, wrong = _read_reasons(getattr(cls, "unsupported", None))
    faults += wrong
    faults += _find_verb_faults(cls, "connect")
    for role in info.roles:
        for capability, verb in VERBS.get(role, {}).items():
            if not hasattr(cls, verb):
                if capability not in reasons:
                    faults.append(f"a {role} needs `{verb}`, or a reason for {capability.name} in `unsupported`")
            elif capability in reasons:
                faults.append(f"it has `{verb}` and says in `unsupported` that it cannot {capability}")
            else:
                for each in (verb, *ALONG.get(verb, ())):
                    faults += _find_verb_faults(cls, each)
    if info.by_hand and hasattr(cls, "upload_artifact"):
        faults.append("it has `upload_artifact`, and `by_hand` in its `info`: either it publishes, or a person does")
    return faults


def describe(exc: ValidationError) -> list[str]:
    """Every field that pydantic found wrong, without the value, which may be a secret."""
    return [f"{'.'.join(map(str, error['loc'])) or 'it'}: {error['msg']}" for error in exc.errors(include_input=False)]


def broken_contract(name: str, faults: list[str]) -> BadConnector:
    """The error that names every clause."""
    lines = "".join(f"\n  - {fault}" for fault in faults)
    return BadConnector(
        f"The connector {name!r} breaks its contract:{lines}",
        hint="docs/connectors.md says what each clause means; its author can run the conformance suite.",
        platform=name,
    )


def _read_reasons(unsupported: object) -> tuple[Mapping[Capability, str], list[str]]:
    if not isinstance(unsupported, Mapping):
        return {}, ["`unsupported` is no mapping of capabilities to reasons; it may be empty"]
    faults = [f"{key!r} in `unsupported` is no Capability" for key in unsupported if not isinstance(key, Capability)]
    faults += [
        f"the reason for {key.name} in `unsupported` is no sentence"
        for key, reason in unsupported.items()
        if isinstance(key, Capability) and not (isinstance(reason, str) and len(reason.split()) > 2)
    ]
    return {key: reason for key, reason in unsupported.items() if isinstance(key, Capability)}, faults


def _find_verb_faults(cls: type, verb: str) -> list[str]:
    function: Any = getattr(cls, verb, None)
    if not callable(function):
        return [f"`{verb}` is missing or cannot be called"]
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return [f"`{verb}` is async: ports are ordinary functions, which the catalog runs on threads"]
    if verb != "connect" and inspect.isgeneratorfunction(function):
        return [f"`{verb}` is a generator where a value belongs"]
    wanted = CALLED_WITH.get(verb)
    if wanted is not None and not _takes(function, len(wanted) + 1):
        return [f"`{verb}` must take ({', '.join(('self', *wanted))})"]
    return []


def _takes(function: Any, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True  # written in C without a signature: nothing to hold it against
    return True
