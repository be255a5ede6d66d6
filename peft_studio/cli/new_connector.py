"""``peft-studio new-connector NAME``: a package with a connector that works, to be made into another. Writes files, installs nothing."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from peft_studio.cli.terminal import Terminal
from peft_studio.core.errors import StudioError

TEMPLATE = Path(__file__).parent / "connector_template"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Write the package and say what to do with it."""
    folder = write_connector(arguments.name, Path(arguments.folder or "."))
    terminal.say(f"{folder} has a connector that works, with its tests.")
    terminal.say(f'  cd "{folder}" && pip install -e ".[test]" && pytest')
    terminal.say("docs/connectors.md goes through it, file by file.")
    return 0


def write_connector(name: str, into: Path) -> Path:
    """Write ``peft-studio-NAME`` into a folder and return it.

    Raises:
        StudioError: The name is no name of a connector, a built-in has it, or the folder is there already.
    """
    from peft_studio.connectors.catalog.sources import BUILT_IN

    if not _NAME.fullmatch(name) or len(name) > 32:
        raise StudioError(
            f"{name!r} cannot be the name of a connector.",
            hint="Names have up to 32 small letters and digits, with hyphens between, and begin with a letter.",
        )
    if name in BUILT_IN:
        raise StudioError(f"PEFT Studio has a connector {name!r} of its own.", hint="Choose another name.")
    folder = into.resolve() / f"peft-studio-{name}"
    if folder.exists():
        raise StudioError(f"{folder} is there already.", hint="Choose another name or --folder; nothing was written.")
    words = name.split("-")
    module = "_".join(words)
    values = {
        "name": name,
        "module": module,
        "class": "".join(word.capitalize() for word in words),
        "title": " ".join(word.capitalize() for word in words),
        "variable": module.upper(),
    }
    for source in sorted(path for path in TEMPLATE.rglob("*.txt") if path.is_file()):
        part = source.relative_to(TEMPLATE).as_posix().removesuffix(".txt")
        target = folder / part.replace("package/", f"peft_studio_{module}/", 1)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(fill(source.read_text(encoding="utf-8"), values), encoding="utf-8")
    return folder


def fill(text: str, values: dict[str, str]) -> str:
    """A template with its ``{{names}}`` replaced; a name that is not known is an error."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)
