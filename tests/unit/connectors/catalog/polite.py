"""A registry and a provider of machines that do as they should, to be run in processes of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import Cancelled, SoldOut
from peft_studio.core.ports import (
    Account,
    Capability,
    Charge,
    Ended,
    Fetched,
    Instance,
    Instances,
    InstanceState,
    Invoice,
    ModelDetails,
    Offer,
    OfferQuery,
    Offers,
    Order,
    Page,
    Progress,
    Published,
    Query,
    RegistryModel,
    Rent,
    Role,
    Upload,
)
from peft_studio.core.ports.rental import Way
from tests.unit.connectors.catalog.hostile import make_info

HERE = "tests.unit.connectors.catalog.polite"
MACHINE = Instance(id="i-1", label="ps-1", state=InstanceState.RUNNING, usd_per_hour=Decimal("1.10"))


def source(name: str) -> Source:
    """As a package would bring it."""
    return Source(name, "polite", lambda: None, f"{HERE}:{name.capitalize()}.info")


def make_page(text: str, count: int) -> Page:
    """What it finds."""
    model = RegistryModel(
        id="a/b", registry="shelf", title=text, parameters=7, gated=False, base_models=("c/d",), updated_at=datetime(2026, 1, 2, tzinfo=UTC)
    )  # fmt: skip
    return Page(models=(model,) * count, next_cursor="more")


class Shelf:
    info = make_info("shelf", connector=f"{HERE}:Shelf")
    unsupported: dict[Capability, str] = {}  # noqa: RUF012

    def __init__(self, keys: Any) -> None:
        self._keys = keys

    def connect(self) -> Account:
        name = self._keys["token"].reveal()[::-1] if self._keys else "nobody"
        return Account(name=name, note=os.environ.get("SHELF_SIGN", ""))

    def search(self, query: Query) -> Page:
        return make_page(query.text, query.limit)

    def get_model(self, model: str) -> ModelDetails:
        return ModelDetails(model=make_page("", 1).models[0], config={"a": [1, None, {"b": 0.5}]})

    def fetch_artifact(self, order: Order) -> Fetched:
        order.to.mkdir(exist_ok=True)
        while order.model == "endless":
            order.tell(Progress(1, None, None, "endless"))
            if order.stop.wait(0.001):
                raise Cancelled("It was called off at its source.", platform="shelf")
        (order.to / (order.revision or "")).write_text(order.model)
        for done in range(8):
            order.tell(Progress(done, 7, None, "the last"))
        return Fetched(size_bytes=7)

    def upload_artifact(self, upload: Upload, report: Callable[[int], None]) -> Published:
        source = Path(upload.files[0].source)
        while source.read_text() == "endless":
            report(1)
        report(3)
        return Published(repo=upload.repo, use=(str(source), str(upload.settings)))


class Yard:
    info = make_info("yard", connector=f"{HERE}:Yard", roles=(Role.COMPUTE,))
    unsupported = {Capability.LOGS: "It shows no logs at all.", Capability.SPOT: "It sells nothing like that."}  # noqa: RUF012

    def __init__(self, keys: Any) -> None:
        pass

    @property
    def way(self) -> Way:
        return Way(door="tls")

    def connect(self) -> Account:
        return Account(name="me")

    def list_offers(self, query: OfferQuery) -> Offers:
        seen_at = datetime(2026, 1, 2, tzinfo=UTC)
        return Offers(
            offers=(Offer(id="o", provider="yard", gpu=query.gpu, gpu_count=1, usd_per_hour=Decimal("1.10"), seen_at=seen_at),)
        )  # fmt: skip

    def submit_job(self, rent: Rent) -> Instance:
        if rent.disk_gib == 1:
            raise SoldOut("None left.", platform="yard", status=409, retry_after_s=2.5, may_have_happened=True)
        assert rent.host_key is not None
        backwards = rent.secrets["TOKEN"].reveal()[::-1]
        said = f"planted-key backwards is {backwards}; at most {rent.max_usd_per_hour}; {rent.host_key.reveal()[8:12][::-1]}"
        return Instance(
            id="i", label=rent.label, state=InstanceState.PROVISIONING, reason=said, addresses=dict.fromkeys(rent.ports, "host:1")
        )  # fmt: skip

    def list_instances(self) -> Instances:
        return Instances(instances=(MACHINE,))

    def end_instance(self, instance_id: str) -> Ended:
        return Ended()

    def list_charges(self, since: datetime) -> Invoice:
        return Invoice(charges=(Charge(instance_id="i", begin_at=since, end_at=since, usd=Decimal(1)),))
