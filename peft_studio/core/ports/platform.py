"""What every connector is, whatever its role: who it is, which keys it takes, what it cannot do and why, and whose account it found.

The values are checked when they are made and frozen after. A third party's connector returns the same ones, so what arrives is sound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from peft_studio.core.redact import Secret

Word = Annotated[str, StringConstraints(max_length=300)]  # what is shown on one line
Sentence = Annotated[str, StringConstraints(max_length=2000)]
Keys = Mapping[str, Secret]  # by the name of the field; one that was not given is not there


class Value(BaseModel):
    """Frozen, of known fields only, and looked at again when it comes from a stranger."""

    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="always", protected_namespaces=())


class Role(StrEnum):
    """What a platform can be to a user."""

    REGISTRY = "registry"
    COMPUTE = "compute"
    TRACKER = "tracker"
    EVALUATOR = "evaluator"
    SERVING = "serving"


class Capability(StrEnum):
    """What a role may offer. A connector has the verb for it, or says in ``unsupported`` why not."""

    SEARCH = "search"
    DETAILS = "details"
    DOWNLOAD = "download"
    PUBLISH = "publish"
    OFFERS = "offers"
    RENT = "rent"
    SPOT = "spot"
    LOGS = "logs"
    INVOICE = "invoice"


VERBS: Mapping[Role, Mapping[Capability, str]] = {
    Role.REGISTRY: {
        Capability.SEARCH: "search",
        Capability.DETAILS: "get_model",
        Capability.DOWNLOAD: "fetch_artifact",
        Capability.PUBLISH: "upload_artifact",
    },
    Role.COMPUTE: {
        Capability.OFFERS: "list_offers",
        Capability.RENT: "submit_job",
        Capability.LOGS: "stream_logs",
        Capability.INVOICE: "list_charges",
    },
}
"""The verb behind each capability of a role. Some have none: Capability.SPOT is a property of offers."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as exc:
        raise ValueError(f"is no regular expression: {exc}") from exc
    return text


def _secure(url: str) -> str:
    if not re.match(r"https://[\w.-]+(/|$)", url):
        raise ValueError("begins with https:// and a host")
    return url


HttpsUrl = Annotated[Word, AfterValidator(_secure)]


class KeyField(Value):
    """One value that a user gives to connect.

    Attributes:
        name: Of several secrets "token" or "key" is the one that the vault keeps under the platform's own name.
        shape: A regular expression that the whole value matches, for a platform that core.redact.shapes does not know.
        env: Environment variables in which people keep it. They are offered, never taken without asking.
        secret: False for an address or a user name, which may be shown.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    title: Word
    shape: Annotated[Word, AfterValidator(_pattern)] = ""
    env: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")], ...] = ()
    required: bool = True
    secret: bool = True
    help: Sentence = ""

    def fits(self, value: str) -> bool:
        """Whether a value has the shape of this key."""
        return not self.shape or re.fullmatch(self.shape, value) is not None


class ConnectorInfo(Value):
    """What the catalog shows of a connector before it is loaded.

    Attributes:
        connector: Where its class is, ``package.module:Class``. Loaded when it is first used.
        extra: What to install for it, as in ``pip install peft-studio[extra]``; empty where nothing is needed.
        docs_url: The page where a user makes the keys.
        local: It works on this machine, without the internet.
        by_hand: Steps with which a person publishes there, where it has no API for that.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    title: Word
    summary: Sentence
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    connector: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    keys: tuple[KeyField, ...] = ()
    docs_url: HttpsUrl
    extra: Word = ""
    local: bool = False
    by_hand: tuple[Sentence, ...] = ()


class Account(Value):
    """Whose key it is, as the platform says after a real call.

    ``can_write``: whether publishing is allowed to this key; None where the platform does not say. ``note``: what the user
    should know, such as "fine-grained: what it may write depends on the repository".
    """

    name: Word
    kind: Word = "user"
    can_write: bool | None = None
    note: Sentence = ""
    checked_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


class Connector(Protocol):
    """What every connector has. It is made by calling its class with the user's keys; making it does no input or output."""

    info: ConnectorInfo
    unsupported: Mapping[Capability, str]
    """Capabilities of its roles that it lacks, each with a sentence that tells a person why."""

    def connect(self) -> Account:
        """Prove the keys with one real call that changes nothing, and say whose they are.

        May be called often: a platform whose call for this is rationed is asked again after minutes only.

        Raises:
            ConnectorError: NotAuthorised for a key that is not known, Unavailable where nobody answers.
        """
        ...


def check(kind: type[Value], value: Any) -> Any:
    """A stranger's value, looked at field by field.

    Raises:
        ValueError: It is none of ``kind``; every field at fault is named.
    """
    return kind.model_validate(value)
