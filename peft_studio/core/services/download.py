"""Bringing a model from a registry onto this machine: chosen files, looked at before and after, and put where everything else finds them.

They gather in a hidden folder beside their place and become a folder of the home at once, when all of them are there and are what they say.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peft_studio.core.errors import StudioError
from peft_studio.core.models.archive import extract, is_archive
from peft_studio.core.models.content import check_content, is_wanted
from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.prepared import fetched_path, find_origin, find_pointed, is_hub_id, pointer_path
from peft_studio.core.models.safe_name import UnsafeName, check_names
from peft_studio.core.models.trust import RemoteCode, check_trusted
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.download import Order, Progress
from peft_studio.core.ports.registry import ModelDetails, ModelFile
from peft_studio.core.services.errand import Tell, carry_out, require_downloads
from peft_studio.core.services.hub_cache import find_cached
from peft_studio.core.services.registry_search import DETAILS_S
from peft_studio.core.system import locked, sync_folder, write_private
from peft_studio.core.words import disk, duration


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A model that is on this machine now.

    Attributes:
        folder: Where its files are; None where the platform keeps it, as Ollama does.
        received_bytes: What had to travel for it; 0 when it was here already, None where nobody says.
    """

    model: str
    registry: str
    revision: str | None
    folder: Path | None
    size_bytes: int | None
    received_bytes: int | None
    note: str = ""

    def __str__(self) -> str:
        where = f"in {self.folder}" if self.folder else f"with {self.registry}"
        size = f", {disk(self.size_bytes)}" if self.size_bytes is not None else ""
        came = " (was here already)" if self.received_bytes == 0 else ""
        return f"{self.model} is {where}{size}{came}." + (f" {self.note}" if self.note else "")


def download_model(
    catalog: Catalog,
    registry: str,
    model: str,
    *,
    home: Path,
    tell: Tell = lambda progress: None,
    stop: threading.Event | None = None,
) -> Downloaded:
    """Bring a model. An interrupted download goes on where it stopped when it is asked for again.

    Args:
        tell: Called with the progress a few times a second, in this thread.
        stop: Set from another thread, it calls the download off.

    Raises:
        ConnectorError: Corrupt, NoRoom and Cancelled among them.
        ModelFailure: The model cannot be trusted, or has nothing that could be loaded.
    """
    stop = stop or threading.Event()
    info = catalog.get_info(registry)
    if info.local:  # a daemon of this machine keeps its models itself
        order = Order(model, (), home / "models", stop=stop)
        came = carry_out(catalog, registry, order, tell)
        return Downloaded(model, registry, None, None, came.size_bytes, came.received_bytes, came.note)
    details = catalog.start(
        registry, ModelDetails, lambda one: require_downloads(one).get_model(model), deadline_s=DETAILS_S
    ).result()
    files = choose_files(details, source=model)
    folder, received = _find_here(registry, details, home, files), 0
    if folder is None:
        folder = fetched_path(details.model.id, details.revision or "latest", home, registry=registry)
        order = Order(details.model.id, files, folder, details.revision, stop=stop)
        received = bring(catalog, registry, order, tell=tell) or 0
    if registry == "huggingface":
        for name in {model, details.model.id}:  # a hub leads old names on to new ones
            if is_hub_id(name):
                point(pointer_path(name, home), folder, details.revision)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Downloaded(details.model.id, registry, details.revision, folder, size, received)


def choose_files(details: ModelDetails, *, source: str) -> tuple[ModelFile, ...]:
    """The files that load a model, of all that its repository has.

    Raises:
        ModelFailure: There are none, or they cannot be trusted: pickle, code, or names that lead elsewhere.
    """
    if details.model.registry == "huggingface":
        top = [file.path for file in details.files if "/" not in file.path]
        origin = RemoteCode(details.model.id, details.revision or "")
        check_trusted(top, details.config or {}, source=source, origin=origin)
    may_be_packed = details.model.registry != "huggingface"
    chosen = tuple(file for file in details.files if is_wanted(file.path) or (may_be_packed and is_archive(file.path)))
    if not any(file.path.lower().endswith(".safetensors") or is_archive(file.path) for file in chosen):
        raise ModelFailure(
            f"{source} has no safetensors file; nothing was downloaded.",
            code="untrusted",
            hint="Other formats of weights run code when they are opened, or cannot be trained on. Choose a model that has safetensors.",
        )
    try:
        check_names(file.path for file in chosen)
    except UnsafeName as exc:
        raise ModelFailure(
            f"{source} has a file whose name cannot be one here: {exc}.",
            code="untrusted",
            hint="Nothing was downloaded. Look at who published this model.",
        ) from exc
    return chosen


def _find_here(registry: str, details: ModelDetails, home: Path, files: Sequence[ModelFile]) -> Path | None:
    """The folder of this very revision, if it was brought before, by us or by the hub's own client, for whomever."""
    ours = fetched_path(details.model.id, details.revision or "latest", home, registry=registry)
    if ours.is_dir():
        return ours
    if registry != "huggingface" or not is_hub_id(details.model.id) or not details.revision:
        return None
    pointed = find_pointed(details.model.id, home)
    origin = find_origin(pointed) if pointed else None
    if origin and origin.commit == details.revision:
        return pointed
    # A tokenizer in another form is converted, and that goes by folders of ours.
    whole = any(file.path == "tokenizer.json" for file in files)
    cached = find_cached(details.model.id, details.revision, files, environment=os.environ) if whole else None
    try:
        for file in files if cached else ():
            check_content(cached / file.path, source=details.model.id)  # type: ignore[operator]
    except ModelFailure:
        return None
    return cached


def bring(
    catalog: Catalog,
    registry: str,
    order: Order,
    *,
    tell: Tell,
    look: Callable[[Path, Order], None] | None = None,
) -> int | None:
    """Have files brought beside their place, look at them (as at a model's, unless told how), and put them there.

    Returns the bytes that travelled; None where nobody says.

    Raises:
        ConnectorError: They could not be brought. StudioError: They are not what they should be, and were not kept.
    """
    folder, incoming = order.to, order.to.with_name(f".incoming-{order.to.name}")
    came = carry_out(catalog, registry, replace(order, to=incoming), tell)
    with locked(incoming.with_name(f".{folder.name}.placing")):
        if folder.is_dir():  # another process was as fast
            shutil.rmtree(incoming, ignore_errors=True)
            return came.received_bytes
        try:
            (look or _look_at)(incoming, order)
        except StudioError:
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        os.replace(incoming, folder)
        sync_folder(folder.parent)
    return came.received_bytes


def leave_ordered(incoming: Path, order: Order) -> None:
    """Leave nothing that was not ordered."""
    ordered = {incoming / file.path for file in order.files}
    for path in incoming.rglob("*"):
        if path.is_file() and path not in ordered:
            path.unlink()  # of an earlier try that wanted more


def _look_at(incoming: Path, order: Order) -> None:
    """Unpack what is packed, refuse what is not what it says, and leave nothing that was not ordered."""
    leave_ordered(incoming, order)
    source = order.model
    for file in order.files:
        path = incoming / file.path
        if not is_archive(path.name):
            check_content(path, source=source)
            continue
        unpacked = extract(path, path.with_name(f"{path.name}.content"))
        for one in unpacked:
            if one.suffix.lower() == ".safetensors":
                check_content(one, source=source)
            else:
                one.unlink()  # previews and notes; nothing here loads them
        path.unlink()


def point(pointer: Path, folder: Path, commit: str | None) -> None:
    """Let ``find_prepared`` and ``find_pointed`` find it, as after the runner's prepare."""
    pointer.parent.mkdir(parents=True, exist_ok=True)
    with locked(pointer.with_name(f".{pointer.name}.lock")):
        write_private(pointer, json.dumps({"folder": str(folder), "commit": commit}) + "\n")


def say_progress(progress: Progress) -> str:
    """One line of how far a download is: ``1.2 of 2.7 GB, 84 MB/s, 18 s left``."""
    parts = [disk(progress.done_bytes) + (f" of {disk(progress.total_bytes)}" if progress.total_bytes else "")]
    if progress.bytes_per_s:
        parts.append(f"{disk(progress.bytes_per_s)}/s")
        if progress.total_bytes:
            parts.append(f"{duration((progress.total_bytes - progress.done_bytes) / progress.bytes_per_s)} left")
    return ", ".join(parts)
