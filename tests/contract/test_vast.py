"""Vast.ai keeps the contract of providers of machines, against its emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio.connectors import vastai
from peft_studio.connectors.base.rental_conformance import RentalConformance
from tests.emulators.machine import Machines
from tests.emulators.vastai import Ask, Market, serve_vast


class TestVastAi(RentalConformance):
    INFO, ADDRESS_VARIABLE = vastai.INFO, "VAST_URL"
    KEYS = {"key": "ab" * 32}  # noqa: RUF012
    WRONG_KEYS = {"key": "cd" * 32}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def platform(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        with Machines(tmp_path) as machines:
            users = {self.KEYS["key"]: {"id": 42, "email": "ann@example.org", "credit": 12.5}}
            self.market = Market(keys=users, asks=[Ask(1000 + n) for n in range(3)], machines=machines)
            with serve_vast(self.market) as address:
                monkeypatch.setenv(self.ADDRESS_VARIABLE, address)
                yield

    def count_made(self) -> int:
        return len(self.market.contracts) + len(self.market.gone)

    def lose_next_reply(self) -> None:
        self.market.lost_replies += [f"PUT /api/v0/asks/{ask.id}/" for ask in self.market.asks]

    def sell_out(self) -> None:
        for ask in self.market.asks:
            ask.rented = True
