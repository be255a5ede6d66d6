"""A plan from a run and its adapter. Reads; changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from peft_studio.core.errors import StudioError
from peft_studio.core.ports.platform import ConnectorInfo
from peft_studio.core.services.check.problem import Problem
from peft_studio.core.services.publish.contents import WHY_NOT, SharedFile, collect_adapter, find_leaks, text_file
from peft_studio.core.services.publish.facts import RunFacts, read_facts
from peft_studio.core.services.publish.plan import PushPlan
from peft_studio.core.services.run import Run

_PLACE = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?(:[\w.-]{1,80})?", re.ASCII)


def build_plan(
    run: Run,
    info: ConnectorInfo,
    repo: str,
    *,
    private: bool = True,
    base: str | None = None,
    files: tuple[SharedFile, ...] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> PushPlan:
    """What would be shared of a run's adapter.

    Args:
        base: The base model's hub id, where the run only knows a folder.
        files: Instead of the adapter in peft's format with its card, for a platform that takes something else.
        settings: What else the platform is told.

    Raises:
        StudioError: ``repo`` is no name of a place. RunStateError: The run has no adapter. AdapterMismatch: It is not whole.
    """
    if not _PLACE.fullmatch(repo) or ".." in repo or "--" in repo:
        raise StudioError(
            f"{repo!r} is no name of a place on {info.title}.", hint="Such as me/my-adapter: letters, digits, . _ -.", fields=("repo",)
        )  # fmt: skip
    facts, adapter = read_facts(run, base=base), run.adapter
    shared = files if files is not None else collect_adapter(adapter, facts, repo)
    if info.by_hand:
        shared = (*shared, text_file("metadata.json", _metadata(facts, repo, shared)))
    problems = (
        *find_leaks(shared, private_paths=list_private(run, facts)),
        *(() if info.local else _base_problems(facts)),
    )
    return PushPlan(
        to=info.name, title=info.title, repo=repo, private=private and not info.local, local=info.local, files=shared,
        left_out=WHY_NOT, problems=problems, settings=dict(settings or {}), steps=info.by_hand, run_id=run.id,
    )  # fmt: skip


def list_private(run: Run, facts: RunFacts) -> tuple[str, ...]:
    """Folders of this machine whose names nobody else needs to read."""
    spec = facts.spec
    named = [path for path in (spec.model, spec.data.path, spec.data.origin) if Path(path).is_absolute()]
    return tuple(dict.fromkeys([str(run.folder.home), str(Path.home()), *named]))


def _base_problems(facts: RunFacts) -> Iterator[Problem]:
    if facts.base_id is None:
        yield Problem(
            "base_unnamed", "warning", "The base model is a folder of this machine, so nobody else can tell which one it is.",
            "studio.push(…, base='org/name') names it.",
        )  # fmt: skip
    if facts.base_licence is None:
        yield Problem(
            "licence_unknown", "warning", "The base model's licence is not known, and an adapter stands under it.",
            "Look it up on the base model's page before you share this.",
        )  # fmt: skip


def _metadata(facts: RunFacts, repo: str, files: tuple[SharedFile, ...]) -> str:
    """What a person types into a page, as JSON."""
    found = {
        "name": repo.rpartition("/")[2],
        "base_model": facts.base_id,
        "licence": facts.base_licence,
        "method": facts.spec.method,
        "rank": facts.spec.rank,
        "files": {file.path: {"size_bytes": file.size_bytes, "sha256": file.sha256} for file in files},
    }
    return json.dumps(found, indent=2) + "\n"
