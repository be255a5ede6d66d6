"""Each machine of a run gets the spec that its card needs, also the one that comes after a failure."""

from __future__ import annotations

from pathlib import Path

from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.offer_specs import FILE, load_spec_for, save_offer_specs
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import offer


def test_each_offer_has_its_own_and_all_others_have_the_runs(tmp_path: Path) -> None:
    """By provider and id; a machine of no offer, or of one that was not there at launch, gets the run's."""
    spec = build_spec()
    folder = RunStore(tmp_path).create(spec)
    other = spec.model_copy(update={"precision": "bf16", "sharding": "fsdp"})
    save_offer_specs(folder, [(offer("alpha"), spec), (offer("beta"), other)])

    assert load_spec_for(folder, offer("beta", "99")) == other
    for one in (offer("alpha"), offer("beta", id="o-other"), None):
        assert load_spec_for(folder, one) == spec


def test_where_all_are_alike_nothing_is_written(tmp_path: Path) -> None:
    """As in every run of before."""
    folder = RunStore(tmp_path).create(build_spec())
    save_offer_specs(folder, [(offer("alpha"), build_spec())])
    assert not (folder.path / FILE).exists()
    assert load_spec_for(folder, offer("alpha")) == build_spec()
