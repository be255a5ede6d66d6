"""What a run needs of the hub, brought through its connector before anything else starts: so the vault's token reaches no other process.

Base models come by :func:`peft_studio.core.services.download.download_model`; data sets are brought here.
"""

from __future__ import annotations

import os
from pathlib import Path

from peft_studio.core.errors import DataError, Offline, Unavailable
from peft_studio.core.models import find_embedded, find_prepared
from peft_studio.core.models.prepared import (
    find_fetched,
    find_local,
    find_pointed,
    is_hub_id,
    looks_like_path,
    pointer_path,
)
from peft_studio.core.models.safe_name import UnsafeName, check_names
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.download import Order
from peft_studio.core.ports.registry import ModelDetails, ModelFile
from peft_studio.core.services.download import bring, leave_ordered, point
from peft_studio.core.services.errand import Tell
from peft_studio.core.services.hub_cache import find_cached
from peft_studio.core.services.registry_search import DETAILS_S

HUB = "huggingface"
ROWS = (".parquet", ".json", ".jsonl", ".csv")


def is_to_come(model: str, home: Path) -> bool:
    """Whether a base model can only come from the hub."""
    if find_embedded(model) or find_local(model) or looks_like_path(model) or not is_hub_id(model):
        return False
    return find_prepared(model, home) is None and find_fetched(model, home) is None


def download_dataset(catalog: Catalog, repo: str, *, home: Path, tell: Tell = lambda progress: None) -> Path:
    """The folder of a hub data set at its newest commit; while the hub cannot be reached, at the one that was brought last.

    Raises:
        ConnectorError: As the connector's ``get_model`` and ``fetch_artifact``.
        DataError: It has no rows that can be read as they are.
    """
    pointer = pointer_path(repo, home, kind="datasets")
    try:
        name = f"datasets/{repo}"  # the hub's own way to tell it from a model
        details = catalog.start(HUB, ModelDetails, lambda hub: hub.get_model(name), deadline_s=DETAILS_S).result()
    except (Offline, Unavailable):
        if (known := find_pointed(repo, home, kind="datasets")) is None:
            raise
        return known
    files = _choose(details, repo)
    commit = details.revision or "main"
    folder = pointer.with_suffix("") / "snapshots" / commit
    if not folder.is_dir():
        cached = find_cached(repo, commit, files, kind="datasets", environment=os.environ)
        if cached is None:
            bring(catalog, HUB, Order(f"datasets/{repo}", files, folder, commit), tell=tell, look=leave_ordered)
        folder = cached or folder
    point(pointer, folder, commit)
    return folder


def _choose(details: ModelDetails, repo: str) -> tuple[ModelFile, ...]:
    """Files with rows, and the card."""
    rows = [file for file in details.files if file.path.lower().endswith(ROWS)]
    if not rows:
        raise DataError(
            f"The data set {repo} has no parquet, JSON, JSONL or CSV file ({len(details.files)} files of other kinds).",
            hint="One that is built by a script would run its code here; export its rows to one of these formats.",
        )
    chosen = (*rows, *(file for file in details.files if file.path == "README.md"))
    try:
        check_names(file.path for file in chosen)
    except UnsafeName as exc:
        raise DataError(
            f"The data set {repo} has a file whose name cannot be one here: {exc}.",
            hint="Nothing was downloaded. Look at who published it.",
        ) from exc
    return chosen
