"""What comes home at a run's end, when lines break and files are not what they were."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.errors import ConnectorError, Corrupt, NoRoom, Unavailable
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import checkpoint_path, list_steps, publish
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.bring import TRIES, Bringer
from tests.conftest import wait_for
from tests.unit.core.runs.conftest import build_spec

STEP = 4


class There:
    """A machine's run folder, reached by a line that breaks as often as it is told when a checkpoint is fetched."""

    def __init__(self, at: Path) -> None:
        self.at, self.breaks, self.fetched = at, 0, list[str]()
        self.here: Exception | None = None  # what the disk at home says

    def list_files(self) -> dict[str, int]:
        return {
            path.relative_to(self.at).as_posix(): path.stat().st_size for path in self.at.rglob("*") if path.is_file()
        }

    def fetch(self, *names: str, to: Path) -> None:
        if self.breaks and any(name.startswith("checkpoints/") for name in names):
            self.breaks -= 1
            raise Unavailable("the line broke")
        if self.here and any(name.startswith("checkpoints/") for name in names):
            raise self.here
        for name in names:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes((self.at / name).read_bytes())
            self.fetched.append(name)


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(RunStore(tmp_path / "home").create(build_spec()))


@pytest.fixture
def there(tmp_path: Path, mirror: Mirror) -> There:
    """With a whole checkpoint, of which we have heard."""
    at = tmp_path / "there"
    (aside := at / "aside").mkdir(parents=True)
    (aside / "weights").write_bytes(b"learned")
    (at / "checkpoints").mkdir()
    publish(aside, checkpoint_path(at / "checkpoints", STEP))
    (at / "events.jsonl").write_bytes(mirror.folder.events.read_bytes())
    mirror.say(ev.JobStarted(pid=1, from_step=0))
    mirror.say(ev.CheckpointSaved(step=STEP, path=f"checkpoints/checkpoint-{STEP}", sha256="0" * 64, duration_s=1.0, size_bytes=7))  # fmt: skip
    return There(at)


STOPPED = ev.Finished(state="stopped")


def test_a_line_that_breaks_does_not_cost_the_last_checkpoint(there: There, mirror: Mirror) -> None:
    """Its machine is let go once all is home, so what did not come is fetched again."""
    bring, there.breaks = Bringer(mirror), 1
    with pytest.raises(Unavailable):
        bring.home(there, STOPPED)  # type: ignore[arg-type]
    assert not mirror.state.is_terminal
    bring.home(there, STOPPED)  # type: ignore[arg-type]
    assert (list_steps(mirror.folder.checkpoints), mirror.state.state) == ([STEP], "stopped")


def test_a_checkpoint_that_never_comes_whole_keeps_no_machine(there: There, mirror: Mirror) -> None:
    """It was damaged over there."""
    (there.at / "checkpoints" / f"checkpoint-{STEP}" / "weights").write_bytes(b"damaged")
    bring = Bringer(mirror)
    for _ in range(TRIES - 1):
        with pytest.raises(Unavailable):
            bring.home(there, STOPPED)  # type: ignore[arg-type]
    bring.home(there, STOPPED)  # type: ignore[arg-type]
    assert (list_steps(mirror.folder.checkpoints), mirror.state.state) == ([], "stopped")


def unreadable() -> Exception:
    try:
        raise ConnectorError("cannot be written") from PermissionError(13, "Permission denied")
    except ConnectorError as exc:
        return exc


@pytest.mark.parametrize("why", [NoRoom("no room"), OSError(28, "No space left on device"), unreadable()])
def test_a_disk_at_home_that_takes_nothing_costs_no_checkpoint(there: There, mirror: Mirror, why: Exception) -> None:
    """However long it is so: once there is room, what was there comes. While it trains, it is told of."""
    bring, there.here = Bringer(mirror), why
    bring.checkpoint(there, mirror.state.checkpoints[-1])  # type: ignore[arg-type]
    wait_for(lambda: bring.trouble, "word of it")
    for _ in range(2 * TRIES):
        with pytest.raises(type(why)):
            bring.home(there, STOPPED)  # type: ignore[arg-type]
    there.here = None
    bring.home(there, STOPPED)  # type: ignore[arg-type]
    assert (list_steps(mirror.folder.checkpoints), mirror.state.state) == ([STEP], "stopped")


def announce(there: There, mirror: Mirror) -> None:
    (there.at / "adapter").mkdir()
    (there.at / "adapter" / "adapter_model.safetensors").write_bytes(b"torn")
    digest = hashlib.sha256(b"whole").hexdigest()
    mirror.say(ev.AdapterSaved(path="adapter", step=STEP, sha256=digest, size_bytes=5))


def test_an_adapter_that_is_not_the_announced_one_is_fetched_again(there: There, mirror: Mirror) -> None:
    """The run has not ended by then."""
    announce(there, mirror)
    with pytest.raises(Corrupt):
        Bringer(mirror).home(there, ev.Finished(state="completed"))  # type: ignore[arg-type]
    assert not mirror.state.is_terminal


def test_one_that_its_own_agent_found_damaged_is_not_waited_for(there: There, mirror: Mirror) -> None:
    """It would keep its machine, paid for, until a cap ends it."""
    announce(there, mirror)
    failure: Any = ev.Failure(code="adapter_unloadable", message="differs")
    Bringer(mirror).home(there, ev.Finished(state="failed", failure=failure))  # type: ignore[arg-type]
    assert (mirror.state.state, list_steps(mirror.folder.checkpoints)) == ("failed", [STEP])
    assert not (mirror.folder.path / "adapter").exists()
