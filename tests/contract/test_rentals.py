"""Our own providers of machines keep the contract that others are held to, each against its emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors import ray, runpod
from peft_studio.connectors.base.connector_conformance import load
from peft_studio.connectors.base.misbehaving import FAULTS, Misbehaving
from peft_studio.connectors.base.rental_conformance import RentalConformance
from peft_studio.connectors.runpod import api as runpod_api
from peft_studio.core.errors import ConnectorError
from peft_studio.core.ports import Keys
from tests.emulators.machine import Machines
from tests.emulators.ray import Cluster, serve_ray
from tests.emulators.runpod import Cloud, make_gpu, serve_runpod


class TestRunPod(RentalConformance):
    INFO, ADDRESS_VARIABLE = runpod.INFO, "RUNPOD_URL"
    KEYS = {"key": "rpa_" + "A" * 40}  # noqa: RUF012
    WRONG_KEYS = {"key": "rpa_" + "B" * 40}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def platform(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        gpus = [
            make_gpu("NVIDIA L4", 24, secure=0.39),
            make_gpu("NVIDIA A100 80GB PCIe", 80, secure=1.64, community=1.19),
        ]
        self.cloud = Cloud(machines=Machines(tmp_path), gpus=gpus, keys={self.KEYS["key"]: "all"})
        monkeypatch.setattr(runpod_api, "STREAM_S", 0.3)
        with serve_runpod(self.cloud) as (address, proxy):
            monkeypatch.setenv("RUNPOD_URL", address)
            monkeypatch.setenv("RUNPOD_PROXY_URL", proxy)
            yield

    def count_made(self) -> int:
        return len(self.cloud.pods) + len(self.cloud.gone)

    def lose_next_reply(self) -> None:
        self.cloud.lost_replies.append("POST /v2/pods")

    def sell_out(self) -> None:
        self.cloud.phantom = {gpu["id"] for gpu in self.cloud.gpus}


class TestRay(RentalConformance):
    """A cluster of one's own: nothing costs anything, and what is taken is waited for."""

    INFO, ADDRESS_VARIABLE = ray.INFO, "RAY_API_SERVER_ADDRESS"
    KEYS = {"token": "of-the-cluster-" + "a" * 32}  # noqa: RUF012
    WRONG_KEYS = {"token": "of-the-cluster-" + "b" * 32}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def platform(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        self.cluster = Cluster(token=self.KEYS["token"])
        with serve_ray(self.cluster) as address:
            monkeypatch.setenv("RAY_API_SERVER_ADDRESS", address)
            yield

    def count_made(self) -> int:
        return self.cluster.made

    def lose_next_reply(self) -> None:
        self.cluster.lost_replies.append("POST /api/jobs/")

    def sell_out(self) -> None:
        pytest.skip("what is taken is waited for")

    def test_offers_are_priced_and_its_own(self, connector: Any) -> None:
        """At nothing."""
        found = connector.list_offers(self.QUERY).offers
        assert [(offer.provider, offer.usd_per_hour) for offer in found] == [("ray", 0)]

    @pytest.mark.parametrize("fault", FAULTS)
    def test_buying_asks_once_whatever_comes_back(self, fault: str, keys: Keys, broken: Misbehaving) -> None:
        """Where everything is broken its files do not arrive, and no job is asked for."""
        offer = self.some_offer()
        broken.fault = fault
        with pytest.raises(ConnectorError):
            load(self.INFO)(keys).submit_job(self.rent(offer))
        assert len([one for one in broken.seen if one.startswith("/api/jobs/ ")]) <= 1

    def test_more_than_the_highest_price_is_not_agreed_to(self, connector: Any) -> None:
        """Nothing is more than nothing."""
        pytest.skip("it has no price")
