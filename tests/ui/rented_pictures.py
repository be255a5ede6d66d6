"""What the pictures of Compute and Spend show: offers and prices of the tests' emulators, and a home whose rented machines were made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.emulators.lambdalabs import Kind
from tests.emulators.machine import Machines
from tests.emulators.providers import KEYS, serve
from tests.emulators.runpod import make_gpu
from tests.made_run import RUN_ID, write_made_run
from tests.rent_home import RentHome
from tests.speed import write_speed

COMPUTE = """
import os
os.environ.update({environment!r})
renting = Studio(home={home!r})
for name, key in {keys!r}.items():
    renting.connect(name, key=key, keep=False)
data = renting.data(str(quickstart.data_path()), split=0.05)
renting.spec(model="smollm2-135m", data=data, name="orders", rank=32, epochs=1)
panel = renting.panel("compute")
panel.layout.width = {width!r}
panel
"""
SPEND = """
spent = Studio(home={home!r}).panel("spend")
spent.layout.width = {width!r}
spent
"""
GPUS = (
    make_gpu("NVIDIA L4", 24, secure=0.39),
    make_gpu("NVIDIA GeForce RTX 4090", 24, secure=0.69, community=0.34),
    make_gpu("NVIDIA A100 80GB PCIe", 80, secure=1.64, community=1.19),
    make_gpu("NVIDIA A40", 48, secure=0.4, free="NONE"),
)
KINDS = (Kind("gpu_1x_h100", stock={"us-east-1": 5}),)


@contextmanager
def rented(folder: Path, *, width: str) -> Iterator[dict[str, str]]:
    """The cells of both, while what they ask for is there."""
    with ExitStack() as stack:
        environment: dict[str, str] = {}
        for name, on_sale in (("runpod", GPUS), ("lambdalabs", KINDS)):
            state, found = stack.enter_context(serve(name, stack.enter_context(Machines(folder / name))))
            state.__dict__["gpus" if name == "runpod" else "kinds"][:] = on_sale
            environment |= {key: value for key, value in found.items() if key != "PATH"}
        home, spent = write_speed(folder / "renting"), folder / "spent"
        made = RentHome(spent)
        write_made_run(spent, name="orders")
        for hours_ago, lasted_h, provider in (
            (130, 4, "vastai"),
            (80, 2, "lambdalabs"),
            (52, 6, "runpod"),
            (28, 3, "vastai"),
        ):
            made.rent(RUN_ID, provider=provider, hours_ago=hours_ago, lasted_h=lasted_h, usd_per_hour="0.62")
        made.rent(RUN_ID, hours_ago=1.5, usd_per_hour="1.19", budget_usd="5", gpu="NVIDIA A100 80GB PCIe")
        made.stray()
        stack.enter_context(made.watched())
        keys = {name: KEYS[name] for name in ("runpod", "lambdalabs")}
        yield {
            "compute": COMPUTE.format(environment=environment, home=str(home), keys=keys, width=width),
            "spend": SPEND.format(home=str(spent), width=width),
        }
