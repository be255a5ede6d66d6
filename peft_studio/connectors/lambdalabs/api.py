"""Lambda's Cloud API v1: addresses, bodies, and its ways to say no. After its OpenAPI file 1.10.0, August 2026."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from peft_studio.connectors.base.answer import SAID_CHARACTERS, Answer, Platform, build_error, unreadable
from peft_studio.connectors.base.buying import buy_once, in_doubt
from peft_studio.connectors.base.door import Door
from peft_studio.connectors.base.patience import Limits
from peft_studio.connectors.base.reading import record, records, text
from peft_studio.connectors.lambdalabs import INFO
from peft_studio.core.errors import (
    ConnectorError,
    Forbidden,
    NotAuthorised,
    NotFound,
    RateLimited,
    Refused,
    SoldOut,
    Unavailable,
)
from peft_studio.core.redact import Secret

PLATFORM = Platform(INFO.name, INFO.title, INFO.docs_url)
PACE = (1.0, 1)  # requests a second, as its documentation allows
LAUNCH_PACE = (1 / 12, 1, "launch")
LAUNCH_LIMITS = Limits(read_s=60.0, total_s=90.0)


class AlreadyThere(Refused):
    """Something of that name is there already."""


class NoSuch(NotFound):
    """Lambda itself says so; another 404 may come from anybody on the way."""


MEANINGS: Mapping[str, type[ConnectorError]] = {
    "global/invalid-api-key": NotAuthorised,
    "global/account-inactive": Forbidden,
    "global/forbidden": Forbidden,
    "global/invalid-address": Forbidden,
    "global/not-found": NoSuch,
    "global/object-does-not-exist": NoSuch,
    "global/quota-exceeded": Refused,
    "instance-operations/launch/insufficient-capacity": SoldOut,
}
DUPLICATE = ("global/duplicate", "global/conflict")


class LambdaApi:
    """Calls of the API. ``LAMBDA_URL`` names another address of it."""

    def __init__(self, key: Secret) -> None:
        base = (os.environ.get("LAMBDA_URL") or "https://cloud.lambda.ai").rstrip("/") + "/api/v1"

        def credentials() -> Mapping[str, str]:
            return {"Authorization": f"Bearer {key.reveal()}"}

        self._door = Door(PLATFORM, base, credentials=credentials, pace=PACE, read_error=read_error)
        self._launches = Door(
            PLATFORM, base, credentials=credentials, limits=LAUNCH_LIMITS, pace=LAUNCH_PACE,
            read_error=read_error,
        )  # fmt: skip

    def list_types(self) -> Mapping[str, Mapping[str, Any]]:
        """Each type of machine by its name, with its price and the regions that have one."""
        found = _data(self._door.get("instance-types"))
        if not isinstance(found, Mapping) or not all(isinstance(one, Mapping) for one in found.values()):
            raise unreadable(PLATFORM, "no table of machines where one belongs")
        return found

    def list_instances(self) -> list[Mapping[str, Any]]:
        """All machines of the account; Lambda has no pages of them."""
        return _listed(self._door.get("instances"))

    def name_key(self, public_key: str, name: str) -> str:
        """Under which name Lambda has an SSH key; it is brought there as ``name`` where it was not."""
        if (known := self._find_key(public_key)) is not None:
            return known
        try:  # twice is once: a second key of one name is refused as a duplicate
            self._door.request("POST", "ssh-keys", json={"name": name, "public_key": public_key}, repeatable=True)
        except AlreadyThere:
            known = self._find_key(public_key)  # by another session of ours, or by the attempt before
            if known is None:
                raise
            return known
        return name

    def launch(self, body: Mapping[str, Any]) -> str:
        """Buy a machine, by one request alone, and return its id."""
        try:
            data = record(buy_once(self._launches, "POST", "instance-operations/launch", json=body), "data")
        except RateLimited as exc:
            raise (
                exc if exc.status is None else in_doubt(exc)
            ) from None  # one in mid-launch has left a billed machine before
        ids = data.get("instance_ids")
        if not isinstance(ids, list) or len(ids) != 1 or not isinstance(ids[0], str) or not ids[0]:
            raise in_doubt(unreadable(PLATFORM, "no id of the machine that was bought"))
        return ids[0]

    def terminate(self, instance_id: str) -> bool:
        """Ask for a machine's end; whether Lambda had it. As often as one likes."""
        body = {"instance_ids": [instance_id]}
        answer = self._door.request("POST", "instance-operations/terminate", json=body, repeatable=True)
        ended = record(answer.record(), "data").get("terminated_instances")
        if not isinstance(ended, list):
            raise unreadable(PLATFORM, "no list of the machines that it ends", status=answer.status)
        return any(one.get("id") == instance_id for one in records(ended))

    def _find_key(self, public_key: str) -> str | None:
        wanted = public_key.split()[:2]  # kind and key; what follows is a comment
        for one in _listed(self._door.get("ssh-keys")):
            if str(one.get("public_key")).split()[:2] == wanted:
                return text(one, "name")
        return None


def read_error(answer: Answer) -> ConnectorError | None:
    """By its code, never by its sentence. What has no code is read by the status."""
    try:
        said = record(answer.record(), "error")
    except ConnectorError:
        return None
    code = text(said, "code") or ""
    kind = AlreadyThere if code in DUPLICATE else MEANINGS.get(code)
    if kind is None and code.startswith("provider/"):
        kind = Unavailable  # something behind Lambda failed, and nobody says how far it got
    if kind is None:
        return None
    usual = build_error(answer)
    words = (text(said, "message") or "").rstrip(".")[:SAID_CHARACTERS]
    return kind(
        f"Lambda says: {words or code} ({answer.status}).",
        hint=text(said, "suggestion") or usual.hint,
        platform=INFO.name,
        status=answer.status,
    )


def _data(answer: Answer) -> Any:
    return answer.record().get("data")


def _listed(answer: Answer) -> list[Mapping[str, Any]]:
    """Objects, all of them or an error: a list with a gap is no list."""
    found = answer.listed("data")
    if not all(isinstance(one, Mapping) for one in found):
        raise unreadable(PLATFORM, "something else where an object belongs", status=answer.status)
    return found
