"""What a telemetry report says: counts and classes. No field of it could hold a word of yours, a name, a path or an address."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from peft_studio import __version__
from peft_studio.core.device import find_device
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.state import fold
from peft_studio.core.runs.store import RunStore
from peft_studio.core.spec.run_spec import Method

MOST_RUNS = 200

Count = Literal[0, 1, 2, 5, 10, 20, 50, 100]  # so many at least
State = Literal[
    "queued", "provisioning", "preparing", "training", "evaluating", "saving", "completed", "stopped", "failed", "lost"
]  # fmt: skip
Code = Literal[
    "out_of_memory", "loss_not_finite", "loss_exploded", "disk_full", "trainer_killed", "trainer_hung", "rank_lost", "model_missing", "model_gated",
    "model_untrusted", "data_changed", "no_trainable_tokens", "bad_template", "not_supported_here", "adapter_unloadable", "machine_lost", "unexpected",
]  # fmt: skip
Size = Literal["under 100M", "100M to 1B", "1B to 4B", "4B to 10B", "10B to 40B", "40B and more"]
Duration = Literal["under 1 min", "1 to 10 min", "10 to 60 min", "1 to 6 h", "6 h and more"]
_COUNTS: tuple[Count, ...] = (0, 1, 2, 5, 10, 20, 50, 100)
_SIZES: tuple[tuple[float, Size], ...] = (
    (4e10, "40B and more"), (1e10, "10B to 40B"), (4e9, "4B to 10B"), (1e9, "1B to 4B"), (1e8, "100M to 1B"), (0, "under 100M"),
)  # fmt: skip
_DURATIONS: tuple[tuple[float, Duration], ...] = (
    (21_600, "6 h and more"), (3600, "1 to 6 h"), (600, "10 to 60 min"), (60, "1 to 10 min"), (0, "under 1 min"),
)  # fmt: skip
_Small = Annotated[int, Field(ge=0, le=999)]


class Report(BaseModel):
    """All that a report can say. ``id`` is drawn anew for each, so that a collector keeps one that comes twice once; nothing joins two."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    version: tuple[_Small, _Small]
    python_minor: _Small
    system: Literal["linux", "macos", "windows", "other"]
    gpu: Literal["none", "nvidia", "nvidia with bf16"]
    states: dict[State, Count]
    methods: dict[Method, Count]
    base_sizes: dict[Size, Count]
    durations: dict[Duration, Count]
    failures: dict[Code, Count]


def build_report(home: Path, *, since_at: float) -> Report:
    """Count the runs begun since then, the newest 200 of them."""
    store, seen = (
        RunStore(home),
        {name: Counter[Any]() for name in ("states", "methods", "base_sizes", "durations", "failures")},
    )
    for row in store.list_rows(since_at=since_at, limit=MOST_RUNS):
        seen["states"][row.state] += 1
        seen["methods"][row.method] += 1
        if row.time_s is not None:
            seen["durations"][_class(row.time_s, _DURATIONS)] += 1
        state = fold(read_events(RunFolder(store.runs / row.id).events))
        if state.plan is not None:
            seen["base_sizes"][_class(state.plan.total_parameters, _SIZES)] += 1
        if state.failure is not None:
            seen["failures"][state.failure.code] += 1
    device, release = find_device(), [int(part) for part in __version__.split(".")[:2]]
    return Report.model_validate({
        "id": uuid4().hex, "version": release, "python_minor": sys.version_info.minor,
        "system": {"linux": "linux", "darwin": "macos", "win32": "windows"}.get(sys.platform, "other"),
        "gpu": "none" if device.kind == "cpu" else "nvidia with bf16" if device.bf16 else "nvidia",
        **{name: {word: _class(count, [(least, least) for least in reversed(_COUNTS)]) for word, count in found.items()} for name, found in seen.items()},
    })  # fmt: skip


def _class(number: float, classes: Any) -> Any:
    return next(name for least, name in classes if number >= least)
