"""A provider that rents out machines: what is on sale, and the machines of this account. What a run does on one is not known here.

Money hangs on three promises, which every connector keeps:

- ``submit_job`` sends one request and never a second. Whoever is in doubt looks at ``list_instances`` for the label.
- ``list_instances`` is whole or an error; a page that fails is an error. Only it can prove that a machine is gone.
- ``end_instance`` may be called as often as one likes, and its success is a hope: the list decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, Protocol

from pydantic import AwareDatetime, Field, NonNegativeInt, StringConstraints

from peft_studio.core.ports.offers import Offer, OfferQuery, Offers, Usd
from peft_studio.core.ports.platform import Account, Capability, ConnectorInfo, Sentence, Value, Word
from peft_studio.core.redact import Secret

Label = Annotated[str, StringConstraints(pattern=r"^ps-[a-z0-9-]{1,56}$")]  # Lambda takes 64 characters

LABEL_PREFIX = "ps-"


class InstanceState(StrEnum):
    """Where a machine stands, in our words. Only ABSENCE from a whole list means that it is gone, so there is no word for that.

    FAILED never comes to run and must be ended; STOPPED was stopped or outbid, and its disk may still be billed. AILING ran, and its
    provider finds fault with it: it may come back, with all it has done, and is kept while it is heard.
    """

    PROVISIONING = "provisioning"
    BOOTING = "booting"
    RUNNING = "running"
    AILING = "ailing"
    STOPPED = "stopped"
    FAILED = "failed"
    ENDING = "ending"


Billed = Literal["all", "storage", "nothing"]


class Ssh(Value):
    """Where a machine's own sshd listens."""

    host: Word
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: Word = "root"


class Instance(Value):
    """A machine of this account, ours or not. ``label``: what it was given when it was made; empty where it has none.

    Attributes:
        reason: What the provider says of its state: "host unreachable".
        usd_per_hour: What the provider says it charges now; None where it says nothing.
        addresses: Where each port of the machine is reached, ``https://…`` or ``host:port``; empty until it can be.
        spent_usd: So far, by the provider's own count, where it keeps one.
    """

    id: Word
    label: Word = ""
    state: InstanceState
    reason: Sentence = ""
    billed: Billed = "all"
    usd_per_hour: Usd | None = None
    gpu: Word | None = None
    gpu_count: NonNegativeInt | None = None
    region: Word | None = None
    created_at: AwareDatetime | None = None
    addresses: Mapping[int, Word] = Field(default_factory=dict)
    ssh: Ssh | None = None
    spent_usd: Usd | None = None


class Instances(Value):
    """All machines of the account, those of others among them. Never a part."""

    instances: Annotated[tuple[Instance, ...], Field(max_length=10_000)]


class Ended(Value):
    """The provider took the request to end a machine, or had no such machine. ``known``: False for the latter."""

    known: bool = True


@dataclass(frozen=True, slots=True)
class Rent:
    """What is to be bought.

    Attributes:
        label: Carried by the machine from its first moment, or it is not made.
        boot: The script that the machine runs as it starts; a person can read it and run it. Holds no secret.
        settings: Environment of the script, for all to see.
        secrets: Environment of the script that only this account may see. A provider that can show these to nobody but the machine does so.
        ports: That must be reachable from outside.
        max_usd_per_hour: More than this is not to be agreed to: a bid, or the highest price at which it is still bought.
        public_key: An OpenSSH public key that may log in, where the provider has no other way in.
        host_key: An OpenSSH private key, ed25519, that the machine shall prove itself with, where the provider can place one: then the
            first connection is verified already. Whoever is on the machine can read it there, and could be that machine anyway.
    """

    label: str
    offer: Offer
    boot: str
    disk_gib: int
    ports: tuple[int, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    max_usd_per_hour: Decimal | None = None
    public_key: str | None = None
    host_key: Secret | None = None


class SelfEnd(Value):
    """How a machine ends itself, with a key that it is given and that can do nothing else.

    Attributes:
        url: May name variables of the machine's environment: ``https://…/pods/${POD_ID}``.
        key: The variable that holds the key; it is sent as a Bearer token.
    """

    url: Word
    key: Word
    method: Word = "DELETE"


class Way(Value):
    """How a provider's machines are reached, and how they end.

    Attributes:
        door: ``proxy``: the provider's HTTPS stands before a port; ``tls``: a port is mapped as it is; ``tunnel``: only SSH leads there.
        self_end: None where no machine can end itself by a request; its offers say so, too (``ends_itself``).
        switch_off: What its brakes run in its own folder where there is no ``self_end``.
    """

    door: Literal["proxy", "tls", "tunnel"]
    self_end: SelfEnd | None = None
    switch_off: Word = "shutdown -h now"


class Charge(Value):
    """What the provider billed for one machine over a span of time."""

    instance_id: Word
    begin_at: AwareDatetime
    end_at: AwareDatetime
    usd: Usd


class Invoice(Value):
    """Charges since a time, as the provider counts them."""

    charges: Annotated[tuple[Charge, ...], Field(max_length=100_000)]


class LogLines(Value):
    """What a machine printed. ``cursor``: what gets the lines after these."""

    lines: Annotated[tuple[Annotated[str, StringConstraints(max_length=10_000)], ...], Field(max_length=10_000)]
    cursor: Word | None = None


class Rental(Protocol):
    """A provider of machines. Its calls block, have an end of their own, and may come from several threads; they raise ConnectorError alone."""

    info: ConnectorInfo
    unsupported: Mapping[Capability, str]

    @property
    def way(self) -> Way:
        """How its machines are reached, and how they end."""
        ...

    def connect(self) -> Account:
        """Prove the keys with one call that changes nothing."""
        ...

    def list_offers(self, query: OfferQuery) -> Offers:
        """What is on sale now. Needs keys only where the provider wants them for it."""
        ...

    def submit_job(self, rent: Rent) -> Instance:
        """Buy a machine that runs ``rent.boot``. Exactly one request that can buy; never repeated here, whatever comes back.

        Raises:
            SoldOut: It is not to be had now. Nothing was made; another offer may do.
            ConnectorError: ``may_have_happened`` where a machine may stand there all the same. Look for the label before anything else.
        """
        ...

    def list_instances(self) -> Instances:
        """All machines of the account, whoever made them: every page, or an error."""
        ...

    def end_instance(self, instance_id: str) -> Ended:
        """Ask for a machine and its disk to be deleted. One that is gone already is no error."""
        ...


class Bills(Protocol):
    """A provider that tells what it charged: Capability.INVOICE."""

    def list_charges(self, since: AwareDatetime) -> Invoice:
        """What it billed for machines since then; the newest hours may still be missing."""
        ...


class BootLogs(Protocol):
    """A provider that shows what a machine prints: Capability.LOGS."""

    def stream_logs(self, instance_id: str, after: str | None) -> LogLines:
        """Lines of the machine's own output after those that ended at ``after``, oldest first; none where there are no new ones."""
        ...
