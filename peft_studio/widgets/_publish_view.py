"""The Publish panel as plain JSON, as Python that does the same, and as the picture that a saved notebook keeps. Every string is a stranger's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from peft_studio.core.offline.entry import Entry
from peft_studio.core.ports.platform import Account, ConnectorInfo
from peft_studio.core.services.check.problem import Problem
from peft_studio.core.services.connection_list import Connection
from peft_studio.core.services.publish.plan import PushPlan
from peft_studio.widgets._connect_view import view_entry
from peft_studio.widgets._publish_work import Job, Wish
from peft_studio.widgets._text import plain

_NAME, _CARD, _FILES = 300, 60_000, 200
_FONT = "font:13px/20px var(--jp-ui-font-family,system-ui,sans-serif)"
_MUTED = "color:var(--jp-ui-font-color2,#616161);font-size:12px"
_BORDER = "1px solid var(--jp-border-color2,#e0e0e0)"
Section = dict[str, Any]
_CONNECT = re.compile(r"studio\.connect\('[\w-]+'\)")
_FIXES = {
    "base_unnamed": "Give it above, under Base on the hub.",
    "parity_unasked": "Train with sample prompts, or name some in code: studio.push(…, prompts=['…', '…']).",
}
_LINE = ("id", "what", "at", "to", "repo")  # what every line of the record has


def view_target(info: ConnectorInfo, connection: Connection | None, reason: str) -> Section:
    """A place to publish at. ``reason``: why its connector cannot; where a person can by hand, that is told beside the steps."""
    account = connection.account if connection else None
    state: str = connection.state if connection else "not connected"
    if info.by_hand:
        state, why = "by hand", reason
    elif reason:
        state, why = "impossible", reason
    elif info.local and state == "not connected":
        state, why = "connected", ""  # on this machine: there is nothing to prove
    else:
        why = connection.why_not if connection else ""
    return {
        "name": info.name, "title": plain(info.title, limit=_NAME), "state": state, "why": plain(why), "local": info.local,
        "account": account and view_account(account),
    }  # fmt: skip


def view_account(account: Account) -> Section:
    """Whose key it is, and what it may."""
    return {
        "name": plain(account.name, limit=_NAME), "can_write": account.can_write, "note": plain(account.note),
        "checked_at": account.checked_at.timestamp(),
    }  # fmt: skip


def view_problem_line(problem: Problem) -> Section:
    """What blocks a push or deserves a look. What code would do about it is said as it is done here."""
    fix = _FIXES.get(problem.code) or _CONNECT.sub("give it in the step Connect", problem.fix)
    return {"code": problem.code, "severity": problem.severity, "message": plain(problem.message), "fix": plain(fix)}


def view_plan(plan: PushPlan, asked: int) -> Section:
    """All that would be shared. ``asked``: how many prompts are compared first."""
    gguf, plain_files = (any(one.path.endswith(end) for one in plan.files) for end in (".gguf", ".safetensors"))
    return {
        "id": plan.id,
        "title": plain(plan.title, limit=_NAME),
        "repo": plain(plan.repo, limit=_NAME),
        "private": plan.private,
        "local": plan.local,
        "ready": plan.ready,
        "size_bytes": plan.size_bytes,
        "files": [[plain(one.path, limit=_NAME), one.size_bytes, one.sha256] for one in plan.files[:_FILES]],
        "files_total": len(plan.files),
        "left_out": [[plain(what), plain(why)] for what, why in plan.left_out.items()],
        "problems": [view_problem_line(one) for one in plan.problems],
        "steps": [plain(step) for step in plan.steps],
        "card": plain(plan.card, limit=_CARD),
        "form": "GGUF" if gguf else "safetensors" if plain_files else "",
        "asked": asked,
    }


def view_job(job: Job, past: Mapping[str, Any] | None, entry: Entry | None) -> Section:
    """A push under way or ended. What waited may have gone meanwhile: then the record (``past``) knows more than the job does."""
    stage: str = job.stage
    pushed = job.pushed
    use = list(pushed.lines) if pushed else []
    url, revision = (pushed.url, pushed.revision) if pushed else (None, None)
    problem = job.problem
    if stage == "queued" and past and past["what"] == "published":
        stage, use, url, revision = "published", past["use"], past["url"], past["revision"]
    elif stage == "queued" and entry and entry.state == "dead":
        stage, problem = (
            "failed",
            {
                "kind": "outbox",
                "message": plain(entry.reason),
                "hint": "It stays in the outbox: try it again there, or drop it.",
                "steps": [],
            },
        )
    elif stage == "queued" and entry is None and past and past["what"] == "queued" and job.was_waiting:
        stage = "dropped"
    return {
        "stage": stage, "id": job.plan.id, "title": plain(job.plan.title, limit=_NAME), "repo": plain(pushed.repo if pushed else job.plan.repo, limit=_NAME),
        "private": job.plan.private, "local": job.plan.local or bool(job.plan.steps), "files": len(job.plan.files),
        "size_bytes": job.plan.size_bytes, "sent_bytes": job.sent_bytes, "began_at": job.began_at, "cancelling": job.cancelled.is_set(),
        "already": bool(pushed and pushed.already), "why": plain(pushed.queued) if pushed else "", "url": web(url), "revision": plain(revision or "", limit=_NAME),
        "lines": [plain(line, limit=_NAME * 2) for line in use[:20]], "folder": plain(str(pushed.folder)) if pushed and pushed.folder else "",
        "problem": problem, "entry": view_entry(entry) if entry else None,
    }  # fmt: skip


def fold_record(lines: Iterable[Mapping[str, Any]]) -> dict[str, Section]:
    """The record by publication, the one with the newest line last: what became of it, with what its intent said.

    Lines of another form are left out.
    """
    found: dict[str, Section] = {}
    for line in lines:
        if not isinstance(line, Mapping) or not all(isinstance(line.get(name), str) for name in _LINE):
            continue
        intent = found.pop(line["id"], {"run": "", "files": 0, "size_bytes": 0})
        files, run = line.get("files"), line.get("run")
        sizes = (
            [file.get("size_bytes") for file in files if isinstance(file, Mapping)] if isinstance(files, list) else None
        )
        if sizes is not None:
            intent = {
                "run": run if isinstance(run, str) else "",
                "files": len(sizes),
                "size_bytes": sum(size for size in sizes if isinstance(size, int)),
            }
        found[line["id"]] = {
            **{name: intent[name] for name in ("run", "files", "size_bytes")},
            **{name: line[name] for name in _LINE},
            **{name: str(line.get(name) or "") for name in ("url", "revision", "why", "by")},
            "private": line.get("private") is not False,
            "use": [str(one) for one in use] if isinstance(use := line.get("use"), list) else [],
        }
    return found


def view_earlier(
    record: Mapping[str, Section], run_id: str, titles: Mapping[str, str], *, besides: str = ""
) -> list[Section]:
    """What was published of a run before, newest first; ``besides`` is the push that is shown by itself."""
    return [
        {
            "id": plain(one["id"], limit=_NAME), "what": plain(one["what"], limit=40), "at": _seconds(one["at"]),
            "title": plain(titles.get(one["to"], one["to"]), limit=_NAME), "repo": plain(one["repo"], limit=_NAME),
            "private": one["private"], "files": one["files"], "size_bytes": one["size_bytes"], "url": web(one["url"]),
            "why": plain(one["why"]), "by": plain(one["by"], limit=_NAME),
        }
        for one in list(record.values())[::-1]
        if one["run"] == run_id and one["id"] != besides
    ]  # fmt: skip


def _seconds(at: str) -> float | None:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None


def web(url: object) -> str:
    """An address that may become a link."""
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) and plain(url) == url else ""


def build_code(wish: Wish | None, job: Job | None) -> str:
    """The push as Python: the plan, and what confirms it once that was done here."""
    if wish is None:
        return "studio.publications()"
    given = [repr(wish.run_id), f"to={wish.to!r}", f"repo={wish.repo!r}"]
    given += [] if wish.private or wish.to == "ollama" else ["private=False"]
    given += [f"base={wish.base!r}"] if wish.base else []
    given += [f"{name}={value!r}" for name, value in wish.options.items()]
    confirmed = job is not None and job.wish == wish
    return f"plan = studio.push({', '.join(given)})\nplan" + (".confirm()" if confirmed else "")


def build_snapshot(title: str, view: Mapping[str, Any]) -> str:
    """What would be shared, or what became of it, and what was published before: static, everything escaped."""
    plan, job, earlier = view["plan"]["shown"], view["job"], view["earlier"]
    lines = [_said(plan, job)]
    files = "".join(
        _row((path, f"{size:,} bytes", f"{sha256[:12]}…"))
        for path, size, sha256 in (plan["files"] if plan else [])[:20]
    )
    before = "".join(_row((one["title"], one["repo"], one["what"])) for one in earlier[:8])
    tables = "".join(
        f'<table style="border-collapse:collapse;border:0;margin:8px 0">{rows}</table>'
        for rows in (files, before)
        if rows
    )
    return (
        f'<div style="{_FONT};border:{_BORDER};border-radius:4px;padding:12px 16px;max-width:880px">'
        f'<div style="font-weight:600">Publish {_text(title)}</div>{"".join(f"<div>{_text(line)}</div>" for line in lines)}{tables}'
        f'<div style="{_MUTED}">Snapshot: run this cell to make it live.</div></div>'
    )


def _said(plan: Mapping[str, Any] | None, job: Mapping[str, Any] | None) -> str:
    if job:
        words = {
            "published": "published",
            "queued": "waiting for the network",
            "bundled": "a folder is ready",
            "failed": "not published",
        }
        return f"{job['repo']} at {job['title']}: {words.get(job['stage'], job['stage'])}. {job['url']}"
    if plan:
        seen = "on this machine" if plan["local"] or plan["steps"] else "private" if plan["private"] else "PUBLIC"
        return f"{plan['files_total']} files, {plan['size_bytes']:,} bytes, to {plan['repo']} at {plan['title']} ({seen}). Nothing has been shared."
    return "Nothing has been shared."


def _row(words: Sequence[str]) -> str:
    cell = "padding:2px 16px 2px 0;text-align:left;vertical-align:top;background:none"
    return f'<tr style="background:none">{"".join(f"<td style={chr(34)}{cell}{chr(34)}>{_text(word)}</td>" for word in words)}</tr>'


def _text(text: object) -> str:
    return escape(plain(str(text)), quote=True)
