"""Brings a base model or a hub data set onto this machine, once, so that everything after it works without network.

    python -m peft_studio.runner prepare NAME --home HOME [--revision R] [--remote-code ORG/NAME@COMMIT] [--token-on-stdin]
    python -m peft_studio.runner fetch-dataset ID --home HOME [--revision R]

One JSON line a step on standard output, ``{"step": …}``; the last is ``{"folder": …}`` or ``{"error": {message, hint,
code}}``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peft_studio.core.models import ModelFailure, find_embedded, find_prepared, parse_remote_code
from peft_studio.core.models.prepared import (
    check_folder,
    find_fetched,
    find_local,
    find_origin,
    is_hub_id,
    looks_like_path,
    pointer_path,
    prepared_path,
)
from peft_studio.core.models.trust import PinnedCode
from peft_studio.core.system import locked, write_private
from peft_studio.runner.trainer.channel import claim_stdout
from peft_studio.runner.trainer.convert import convert_embedded, convert_tokenizer
from peft_studio.runner.trainer.hub import fetch_dataset_folder, fetch_model, hold_token

Say = Callable[[str], None]


def _silent(_: str) -> None:
    """Nobody is listening."""


def prepare_model(
    name: str,
    home: Path | str,
    *,
    revision: str | None = None,
    remote_code: PinnedCode | None = None,
    say: Say = _silent,
) -> Path:
    """Return a folder with config.json, safetensors and tokenizer.json for a base model, making it if need be.

    ``name`` is an embedded name, a local folder or a hub id. Safe to call twice and from several processes: the second
    waits for the first and finds its work done. The hub is asked only when the model is not here, or for a revision.

    Raises:
        ModelFailure: The model cannot be found, reached, trusted or read; the code says which.
    """
    root = Path(home)
    embedded, local = find_embedded(name), find_local(name)
    if embedded:
        target = prepared_path(name, root)
        with locked(target.with_name(f".{target.name}.lock")):
            if find_prepared(name, root) is None:
                convert_embedded(embedded, target, say)
        return target
    if local:
        return _prepare_local(local, name=name, root=root, remote_code=remote_code, say=say)
    if looks_like_path(name) or not is_hub_id(name):
        raise ModelFailure(
            f"There is no model folder {name!r}.",
            code="not-found",
            hint="Check the path, or give a hub id such as org/name.",
        )
    return _prepare_hub(name, root=root, revision=revision, remote_code=remote_code, say=say)


def fetch_dataset(repo: str, home: Path | str, *, revision: str | None = None, say: Say = _silent) -> Path:
    """Return a folder with a hub data set's files. Raises ModelFailure, also for data sets: the code says why."""
    if not is_hub_id(repo):
        raise ModelFailure(f"{repo!r} is no hub id.", code="not-found", hint="A hub id looks like org/name.")
    folder = fetch_dataset_folder(repo, revision=revision, say=say)
    _point(pointer_path(repo, Path(home), kind="datasets"), folder)
    return folder


def _prepare_local(local: Path, *, name: str, root: Path, remote_code: PinnedCode | None, say: Say) -> Path:
    say(f"Checking {local}")
    check_folder(local, source=str(local), remote_code=remote_code)
    if (local / "tokenizer.json").exists():
        return local
    target = prepared_path(str(local), root)
    with locked(target.with_name(f".{target.name}.lock")):
        if find_prepared(str(local), root) is None:
            convert_tokenizer(local, target, name=name, say=say)
    return target


def _prepare_hub(repo: str, *, root: Path, revision: str | None, remote_code: PinnedCode | None, say: Say) -> Path:
    found = find_prepared(repo, root)
    origin = find_origin(found) if found else None
    if found and revision is None and (remote_code is None or (origin and origin.commit == remote_code.commit)):
        check_folder(found, source=repo, remote_code=remote_code)
        return found
    pointer = pointer_path(repo, root)
    with locked(pointer.with_name(f".{pointer.name}.lock")):
        here = find_fetched(repo, root) if revision is None and remote_code is None else None
        if here:
            check_folder(here, source=repo)
        folder = here or fetch_model(repo, revision=revision, remote_code=remote_code, say=say)
        if not (folder / "tokenizer.json").exists():
            target = prepared_path(str(folder), root)
            convert_tokenizer(folder, target, name=repo, say=say)
            folder = target
        _point(pointer, folder)
    return folder


def _point(pointer: Path, folder: Path) -> None:
    pointer.parent.mkdir(parents=True, exist_ok=True)
    origin = find_origin(folder)
    write_private(pointer, json.dumps({"folder": str(folder), "commit": origin.commit if origin else None}) + "\n")


def prepare_main(argv: list[str]) -> int:
    """``prepare``: see the module. Returns 0, or 1 after an error line."""
    args = _parse("prepare", argv)
    code = args.remote_code
    if args.token_on_stdin:
        hold_token(sys.stdin.read().strip())

    def work(say: Say) -> Path:
        pinned = parse_remote_code(code) if code else None
        return prepare_model(args.name, args.home, revision=args.revision, remote_code=pinned, say=say)

    return report_work(work)


def fetch_dataset_main(argv: list[str]) -> int:
    """``fetch-dataset``: see the module. Returns 0, or 1 after an error line."""
    args = _parse("fetch-dataset", argv)
    return report_work(lambda say: fetch_dataset(args.name, args.home, revision=args.revision, say=say))


def _parse(command: str, argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m peft_studio.runner {command}")
    parser.add_argument("name")
    parser.add_argument("--home", required=True)
    parser.add_argument("--revision")
    if command == "prepare":
        parser.add_argument("--remote-code", metavar="ORG/NAME@COMMIT")
        parser.add_argument("--token-on-stdin", action="store_true")
    return parser.parse_args(argv)


def report_work(work: Callable[[Say], Path]) -> int:
    """Run ``work`` with standard output kept for our lines: whatever libraries print goes to standard error."""
    with claim_stdout() as out:

        def tell(**line: Any) -> None:
            print(json.dumps(line), file=out, flush=True)

        try:
            folder = work(lambda step: tell(step=step))
        except ModelFailure as failure:
            tell(error={"message": failure.message, "hint": failure.hint, "code": failure.code})
            return 1
        tell(folder=str(folder))
        return 0
