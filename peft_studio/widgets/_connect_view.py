"""The Connect panel as plain JSON, as Python that does the same, and as the table that a saved notebook keeps. No key comes through here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from peft_studio.core.errors import (
    BadConnector,
    Forbidden,
    NotAuthorised,
    Offline,
    RateLimited,
    StudioError,
    Unavailable,
    Untrusted,
    VaultError,
)
from peft_studio.core.offline.entry import Entry
from peft_studio.core.ports.platform import ConnectorInfo, KeyField
from peft_studio.core.redact import REDACTOR, judge_key
from peft_studio.core.services.connection_list import Connection
from peft_studio.core.vault import Tier
from peft_studio.widgets._text import plain

_NAME = 300  # characters
_FONT = "font:13px/20px var(--jp-ui-font-family,system-ui,sans-serif)"
_MUTED = "color:var(--jp-ui-font-color2,#616161);font-size:12px"
_BORDER = "1px solid var(--jp-border-color2,#e0e0e0)"
Section = dict[str, Any]

# What a person does about it, in the order in which it helps.
_STEPS: tuple[tuple[type[StudioError], str, tuple[str, ...]], ...] = (
    (NotAuthorised, "refused", ("See on the platform's page whether the key is still there and has not expired.", "Copy it whole, or make a new one, and give it here.")),
    (Forbidden, "refused", ("The key is known and may not do this: give it the permission, or make another key.", "A company's firewall and a closed country answer in the same way: try another network.")),
    (RateLimited, "wait", ("Nothing is wrong with the key. Wait as long as was asked, then test again.",)),
    (Untrusted, "unsafe", ("Look at this machine's clock: a wrong date makes every certificate expired.", "In a company's network, name its own authority in SSL_CERT_FILE.", "There is no switch to go on without.")),
    (Unavailable, "silent", ("See whether this machine has a network, and whether it needs a proxy (HTTPS_PROXY).", "See the platform's own status page.", "Test again: what was connected stays connected.")),
    (BadConnector, "broken", ("Tell the author of the connector, or switch it off.",)),
    (Offline, "offline", ("Go online above, then try again. Everything on this machine goes on.",)),
    (VaultError, "vault", ("Unlock the vault above, or start the system's keystore, and try again.",)),
)  # fmt: skip


def view_problem(error: StudioError) -> Section:
    """What went wrong, and what to do about it step by step."""
    if isinstance(error, NotAuthorised) and error.status is None:  # told by its looks, before anything was sent
        return {"kind": "other", "message": _safe(error.message), "hint": _safe(error.hint), "steps": []}
    kind, steps = next(((kind, steps) for of, kind, steps in _STEPS if isinstance(error, of)), ("failed", ()))
    return {"kind": kind, "message": _safe(error.message), "hint": _safe(error.hint), "steps": list(steps)}


def view_platform(info: ConnectorInfo, connection: Connection | None, problem: Section | None) -> Section:
    """A card. ``connection`` is None where the platform is switched off."""
    account = connection.account if connection else None
    return {
        "name": info.name,
        "title": plain(info.title, limit=_NAME),
        "summary": plain(info.summary),
        "roles": [str(role) for role in info.roles],
        "state": "off" if connection is None else connection.state,
        "free": not any(field.required for field in info.keys),
        "local": info.local,
        "account": account and {
            "name": plain(account.name, limit=_NAME),
            "kind": plain(account.kind, limit=_NAME),
            "can_write": account.can_write,
            "note": plain(account.note),
            "checked_at": account.checked_at.timestamp(),
        },
        "why_not": _safe(connection.why_not) if connection else "",
        "problem": problem,
        "fields": [_view_field(info, field) for field in info.keys],
        "docs_url": info.docs_url,
        "install": f"pip install 'peft-studio[{info.extra}]'" if info.extra else "",
    }  # fmt: skip


def view_refused(connection: Connection) -> Section:
    """A connector that breaks its contract: nothing of it can be trusted but its name."""
    name = plain(connection.name, limit=_NAME)
    return {
        "name": name, "title": name, "summary": "", "roles": [], "state": "refused", "free": False, "local": False, "account": None,
        "why_not": _safe(connection.why_not), "problem": None, "fields": [], "docs_url": "", "install": "",
    }  # fmt: skip


def _view_field(info: ConnectorInfo, field: KeyField) -> Section:
    """``offered``: variables of the environment that hold a value. The values stay where they are."""
    offered = []
    for variable in field.env:
        if value := os.environ.get(variable):
            wrong = judge_key(info.name, value) if field.secret else None
            offered.append(
                {"variable": variable, "wrong": wrong.sentence if wrong and wrong.outcome == "wrong" else ""}
            )
    return {
        "name": field.name,
        "title": plain(field.title, limit=_NAME),
        "required": field.required,
        "secret": field.secret,
        "help": plain(field.help),
        "offered": offered,
    }


def view_tier(tier: Tier) -> Section:
    """Where keys are kept."""
    return {
        "name": tier.name, "sentence": plain(tier.sentence), "why": plain(tier.why_not_better),
        "durable": tier.durable, "open": tier.is_open,
    }  # fmt: skip


def view_entry(entry: Entry) -> Section:
    """What waits or was refused; its content stays sealed."""
    next_at = entry.failed_at.timestamp() + entry.wait_s if entry.failed_at and entry.wait_s else None
    return {
        "id": entry.id, "target": plain(entry.target, limit=_NAME), "kind": plain(entry.kind, limit=_NAME), "state": entry.state,
        "cause": entry.cause, "reason": _safe(" ".join(entry.reason.split())), "unsure": entry.unsure, "tries": entry.tries,
        "since": entry.queued_at.timestamp(), "next_at": next_at, "size_bytes": entry.size_bytes,
    }  # fmt: skip


def build_snapshot(platforms: Sequence[Section], tier: Mapping[str, Any], summary: str) -> str:
    """Platforms and how they stood: static, everything escaped."""
    rows = "".join(_row(one) for one in platforms)
    return (
        f'<div style="{_FONT};border:{_BORDER};border-radius:4px;padding:12px 16px;max-width:880px">'
        f'<div style="font-weight:600">Connect</div><div style="{_MUTED}">{_text(tier["sentence"])}</div>'
        f'<table style="border-collapse:collapse;border:0;margin:8px 0">{rows}</table>'
        f'<div style="{_MUTED}">{_text(summary)} Snapshot: run this cell to make it live.</div></div>'
    )


def _row(one: Section) -> str:
    account = one["account"]["name"] if one["account"] else "—"
    words = (state_words(one), account, one["why_not"] or ", ".join(one["roles"]))
    cell = "padding:2px 16px 2px 0;text-align:left;vertical-align:top;background:none"
    cells = "".join(f'<td style="{cell}">{_text(word)}</td>' for word in words)
    return f'<tr style="background:none"><th scope="row" style="{cell};font-weight:600">{_text(one["title"])}</th>{cells}</tr>'


def state_words(one: Section) -> str:
    """The state in the words that the panel uses."""
    if one["state"] == "not connected" and one["free"]:
        return "Works without a key"
    state = str(one["state"])
    return {"off": "Switched off", "failed": "Failing", "refused": "Not accepted"}.get(state, state.capitalize())


def _safe(text: str) -> str:
    """A stranger's words on a key that was just given: whatever the redactor knows is taken out once more."""
    return plain(REDACTOR.text(text))


def _text(text: str) -> str:
    return escape(plain(text), quote=True)
