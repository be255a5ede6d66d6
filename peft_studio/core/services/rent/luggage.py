"""What travels to a rented machine besides the boot script: our own package, the spec, the rows, a base model that is at home only.

Knows no network: it says which file goes under which name, and how the spec reads there.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from peft_studio import __version__
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import write_aside

PACKAGE = Path(__file__).parents[3]
TRAVELS = ("core", "runner")  # what an agent and a trainer are made of
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same package gives the same bytes
METADATA = f"Metadata-Version: 2.1\nName: peft-studio\nVersion: {__version__}\n"


@dataclass(frozen=True, slots=True)
class Item:
    """A file here, and its name in the run's folder there."""

    path: Path
    name: str


def build_package(to: Path) -> Path:
    """Write what a machine needs of this very package, edited or installed, as a wheel's archive; a third of a second."""
    info = f"peft_studio-{__version__}.dist-info"
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _sources():
            name = (PurePosixPath("peft_studio") / path.relative_to(PACKAGE).as_posix()).as_posix()
            archive.writestr(zipfile.ZipInfo(name, LONG_AGO), path.read_bytes(), zipfile.ZIP_DEFLATED)
        for name, text in (("METADATA", METADATA), ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")):
            archive.writestr(zipfile.ZipInfo(f"{info}/{name}", LONG_AGO), text, zipfile.ZIP_DEFLATED)
    return to


def pack(folder: RunFolder, *, model: Path | None = None) -> tuple[Item, ...]:
    """Files of a run that its machine has not, in the order in which they are best sent; the package and the spec are not among them.

    Args:
        model: The base model's folder where the machine cannot get it from a hub.

    A run that goes on elsewhere takes along its log, its numbers and its newest checkpoints.
    """
    rows = Path(folder.load_spec().data.path)
    tops = [(rows, f"data/{_rows_name(rows)}")]
    tops += [(model, "model")] if model else []
    tops += [(folder.path / name, name) for name in ("events.jsonl", "metrics", "system", "checkpoints")]
    return tuple(item for top, name in tops for item in _files(top, name))


def write_spec(spec: RunSpec, to: Path, *, there: str, model: Path | None = None) -> Path:
    """Write a spec as the machine is to read it: with the paths that its files have there.

    Args:
        there: The run's folder on the machine; its door says it.
    """
    data = spec.data.model_copy(update={"path": f"{there}/data/{_rows_name(Path(spec.data.path))}"})
    moved = spec.model_copy(update={"data": data, **({"model": f"{there}/model"} if model else {})})
    write_aside(to, moved.to_json().encode())
    return to


def _rows_name(rows: Path) -> str:
    return f"rows{rows.suffix if rows.is_file() else ''}"


def _files(top: Path, name: str) -> Iterator[Item]:
    if top.is_file():
        yield Item(top, name)
        return
    for path in sorted(top.rglob("*")):
        inside = path.relative_to(top)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            yield Item(path, f"{name}/{inside.as_posix()}")


def _sources() -> Iterator[Path]:
    yield PACKAGE / "__init__.py"
    for top in TRAVELS:
        for path in sorted((PACKAGE / top).rglob("*")):
            if path.is_file() and path.suffix in (".py", ".txt", ".sh", ".json") and "__pycache__" not in path.parts:
                yield path
