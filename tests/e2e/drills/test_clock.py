"""Drill: the clock is set by a day, at home or on the machine, in the middle of a run (in every process of that side). No wait is over early, no day is billed."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.rent.label import build_label
from tests.e2e.drills.drill import LONG, Clock, Drill, steps, told, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.stress]


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long *ahead;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("CLOCK_FILE"), O_RDONLY);
    ahead = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
}
int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, at);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) at->tv_sec += *ahead;
    return status;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec, at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return at ? (*at = now.tv_sec) : now.tv_sec;
}
"""
"""The clock on the wall and no other, set by what stands in a file. (libfaketime breaks sleeping by the steady clock.)"""


class Steppable:
    """A clock that can be set, for all processes that have ``environment``."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None or sys.platform != "linux":
            pytest.skip("needs a C compiler on Linux")
        self._file, source, shim = folder / "clock", folder / "clock.c", folder / "clock.so"
        self._file.write_bytes(bytes(8))
        source.write_text(SHIM)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(shim), "CLOCK_FILE": str(self._file)}

    def set(self, days: int) -> None:
        """So many days from the true time."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", round(timedelta(days=days).total_seconds())))


@pytest.fixture
def clock(tmp_path: Path) -> Steppable:
    """It is right."""
    return Steppable(tmp_path)


@pytest.mark.parametrize("drill", ["runpod", "vastai"], indirect=True)  # whose certificate has a time, too
@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_is_set_at_home(drill: Drill, clock: Steppable, days: int) -> None:
    """With a cap of a fifth of a day's rent: the run goes on to its end, on its one machine, and costs what its seconds cost."""
    client = drill.client(clock.environment)
    run = drill.launch(client, max_usd=2, **LONG)
    wait_for(lambda: len(steps(run.folder)) >= 3, "three steps", timeout_s=300)
    says = f"print(studio.run({run.id!r}).cost, studio.spend().ever.usd)"
    before = Decimal(client.execute(says).split()[0])
    clock.set(days)
    set_at = Clock()
    here = Decimal(client.execute("import time; print(time.time())").strip())
    assert abs(here - Decimal(clock_time(days))) < 60
    for cost in map(Decimal, client.execute(says).split()):
        assert before <= cost < before + Decimal("0.02")
    run.wait(timeout=400)
    print(f"completed {set_at.s:.1f} s after the clock was set")
    wait_for(lambda: "machine_gone" in told(run), "the proof that it is gone", timeout_s=90)
    for cost in map(Decimal, client.execute(says).split()):
        assert abs(cost - drill.cloud.invoice()) < Decimal("0.002")
    [record] = drill.records(run)
    assert record.done.leaving == "completed"
    drill.check_all_is_well(run)


def clock_time(days: int) -> float:
    """What the clock shows that was set."""
    return time.time() + timedelta(days=days).total_seconds()


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_is_set_on_the_machine(drill: Drill, clock: Steppable, days: int) -> None:
    """Neither its lease nor its longest life is over by that, and what it writes comes home as ever."""
    drill.machines.environment = clock.environment
    drill.machines.settings = {"PS_LEASE_S": "60"}
    run = drill.launch(drill.client(), **LONG)
    wait_for(lambda: len(steps(run.folder)) >= 3, "three steps", timeout_s=300)
    clock.set(days)
    run.wait(timeout=400)
    drill.check_all_is_well(run)


def test_another_homes_machine_is_safe_from_a_clock_that_is_set(drill: Drill, clock: Steppable) -> None:
    """A colleague's machine of the same account would be long overdue by our clock: it is shown, and it is not ended."""
    client = drill.client(clock.environment)
    run = drill.launch(client, **LONG)
    wait_for(lambda: len(steps(run.folder)) >= 3, "three steps", timeout_s=300)
    offer: Offer = drill.records(run)[0].intent.offer
    theirs = drill.cloud.create(
        {"name": label_of_another_home(), "image": "x", "gpu": {"id": offer.gpu}, "args": "sleep 600"}
    )
    clock.set(1)
    run.wait(timeout=400)
    wait_for(lambda: "machine_gone" in told(run), "the proof that ours is gone", timeout_s=90)
    assert theirs.id in drill.cloud.pods
    drill.cloud.terminate(theirs)


def label_of_another_home() -> str:
    """Of a machine that has ten hours to live."""
    return build_label("abcdef", "r-20261126-101112-00000a", 1, ends_at_s=time.time() + 36_000)
