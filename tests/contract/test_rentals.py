"""Our own providers of machines keep the contract that others are held to, each against its emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio.connectors import runpod
from peft_studio.connectors.base.rental_conformance import RentalConformance
from peft_studio.connectors.runpod import api as runpod_api
from tests.emulators.machine import Machines
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
