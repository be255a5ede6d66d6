"""Lambda keeps the contract of providers of machines, against its emulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from peft_studio.connectors import lambdalabs
from peft_studio.connectors.base.misbehaving import FAULTS
from peft_studio.connectors.base.rental_conformance import RentalConformance
from peft_studio.connectors.lambdalabs import api
from peft_studio.core.errors import ConnectorError
from peft_studio.core.ports import Offer, Rent
from tests.emulators.lambdalabs import Cloud, Kind, serve_lambda
from tests.emulators.loopback import Reply

LAUNCH = "POST /api/v1/instance-operations/launch"
SAID_NO = ("bad request", "forbidden", "not found", "conflict")  # a 429 of Lambda's is none


class TestLambda(RentalConformance):
    INFO, ADDRESS_VARIABLE = lambdalabs.INFO, "LAMBDA_URL"
    KEYS = {"key": "secret_tests_" + "0123456789abcdef" * 2 + "." + "A1" * 16}  # noqa: RUF012
    WRONG_KEYS = {"key": "secret_tests_" + "0123456789abcdef" * 2 + "." + "B2" * 16}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def platform(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(api, "PACE", (1000.0, 1000))
        self.cloud = Cloud(keys=(self.KEYS["key"],), kinds=[Kind("gpu_1x_h100", stock={"us-east-1": 5})], ends_for=0)
        with serve_lambda(self.cloud) as address:
            monkeypatch.setenv(self.ADDRESS_VARIABLE, address)
            yield

    def count_made(self) -> int:
        return self.cloud.launches

    def lose_next_reply(self) -> None:
        self.cloud.lost_replies.append(LAUNCH)

    def sell_out(self) -> None:
        self.cloud.kinds[0].stock.clear()

    def rent(self, offer: Offer, label: str = "ps-run-1", **fields: Any) -> Rent:
        """With a key to log in: Lambda makes no machine without one."""
        return super().rent(offer, label, **{"public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAITest", **fields})

    @pytest.mark.parametrize("fault", FAULTS)
    def test_buying_asks_once_whatever_comes_back(self, fault: str, connector: Any) -> None:
        """A key is registered before, so it is the launch alone that goes wrong here."""
        status, body, headers = FAULTS[fault]
        if status is None:
            self.lose_next_reply()
        else:
            self.cloud.after[LAUNCH] = [Reply(status, body, headers)]
        with pytest.raises(ConnectorError) as caught:
            self.buy(connector)
        assert self.count_made() == 1
        assert caught.value.may_have_happened == (fault not in SAID_NO)
