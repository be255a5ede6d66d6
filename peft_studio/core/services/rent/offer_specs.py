"""The spec that a run's machine gets, where its card needs another than the run's own: written at launch, one an offer, and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterable

from peft_studio.core.ports.offers import Offer
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import write_aside

FILE = "offer-specs.json"  # in a run's folder; not there where all its machines get the same


def save_offer_specs(folder: RunFolder, specs: Iterable[tuple[Offer, RunSpec]]) -> None:
    """Keep those that are not the run's own."""
    own = folder.load_spec().to_json()
    others = {_key(offer): json.loads(text) for offer, spec in specs if (text := spec.to_json()) != own}
    if others:
        write_aside(folder.path / FILE, json.dumps(others, indent=1).encode())


def load_spec_for(folder: RunFolder, offer: Offer | None) -> RunSpec:
    """What the run is on a machine of this offer."""
    try:
        others = json.loads((folder.path / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return folder.load_spec()
    found = others.get(_key(offer)) if offer else None
    return RunSpec.from_json(json.dumps(found)) if found else folder.load_spec()


def _key(offer: Offer) -> str:
    return f"{offer.provider}/{offer.id}"
