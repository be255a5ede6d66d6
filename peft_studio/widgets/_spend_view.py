"""The Spend panel as plain JSON, as Python, and as the picture that a saved notebook keeps. Providers' words are strangers'; dollars are words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

from peft_studio.core.services.rent.alarms import Alarm
from peft_studio.core.services.rentals import RentedMachine
from peft_studio.core.services.spend import Day, Spend
from peft_studio.core.words import usd
from peft_studio.widgets._code import opening
from peft_studio.widgets._money import note_of, rate, title_of
from peft_studio.widgets._text import plain

_NAME, _RUNS = 300, 12
_FONT = "font:13px/20px var(--jp-ui-font-family,system-ui,sans-serif)"
_MUTED = "color:var(--jp-ui-font-color2,#616161);font-size:12px"
_BORDER = "1px solid var(--jp-border-color2,#e0e0e0)"
Section = dict[str, Any]


def view_spend(spend: Spend, names: Mapping[str, str], titles: Mapping[str, str]) -> dict[str, Any]:
    """Totals, days, providers, runs, meters, cap. ``names``: of runs, by id. ``titles``: of providers, by name."""
    providers = sorted({name for day in spend.by_day for name in day.by_provider} | set(spend.by_provider))
    totals = (("Today", spend.today), ("This week", spend.week), ("This month", spend.month), ("In all", spend.ever))
    return {
        "totals": [{"name": name, "usd": usd(of.usd), "note": note_of(of)} for name, of in totals],
        "days": [_day(day, spend.by_day, providers) for day in spend.by_day],
        "providers": [
            {"name": title_of(name, titles), "usd": usd(of.usd), "note": note_of(of)}
            for name in providers
            if (of := spend.by_provider.get(name))
        ],
        "series": [title_of(name, titles) for name in providers],
        "runs": [_run(run_id, spend, names) for run_id in list(spend.by_run)[:_RUNS]],
        "runs_total": len(spend.by_run),
        "now": {
            "machines": len(spend.meters),
            "rate": rate(spend.usd_per_hour),
            "per_day": usd(spend.usd_per_hour * 24),
        },
        "cap": _cap(spend),
    }


def _day(day: Day, days: Sequence[Day], providers: Sequence[str]) -> Section:
    """``parts``: number of the provider's colour, dollars, and its height as a share of the dearest day."""
    most = max((one.total.usd for one in days), default=Decimal(0)) or Decimal(1)
    return {
        "date": f"{date.fromisoformat(day.date):%-d %b}",
        "usd": usd(day.total.usd),
        "note": note_of(day.total),
        "parts": [
            [providers.index(name), usd(of.usd), round(float(of.usd / most), 4)] for name, of in day.by_provider.items()
        ],
    }


def _run(run_id: str, spend: Spend, names: Mapping[str, str]) -> Section:
    of, each = spend.by_run[run_id], spend.usd_per_epoch.get(run_id)
    return {
        "id": run_id if run_id in names else "",
        "name": plain(names.get(run_id) or run_id or "No run of this home", limit=_NAME),
        "usd": usd(of.usd),
        "note": note_of(of),
        "epoch": None if each is None else usd(each),
    }


def _cap(spend: Spend) -> Section:
    cap, left = spend.cap_usd, spend.left_usd
    if cap is None or left is None:
        return {"value": "", "left": "", "share": 0.0, "over": False}
    share = 1.0 if not cap else min(1.0, float(spend.month.usd / cap))
    return {
        "value": f"{cap.normalize():f}",
        "left": usd(max(Decimal(0), left)),
        "share": round(share, 3),
        "over": left <= 0,
    }


def view_machine(one: RentedMachine, names: Mapping[str, str], titles: Mapping[str, str]) -> Section:
    """A machine. ``key``: what :meth:`peft_studio.core.services.rentals.RentalList.end` takes for it."""
    return {
        "key": one.label if one.kind == "machine" else one.instance_id,
        "kind": one.kind,
        "run": one.run_id if one.run_id in names else "",
        "run_name": plain(names.get(one.run_id) or one.run_id, limit=_NAME),
        "provider": title_of(one.provider, titles),
        "id": plain(one.instance_id, limit=_NAME),
        "label": plain(one.label, limit=_NAME),
        "gpu": plain(one.gpu, limit=_NAME),
        "state": plain(one.state, limit=_NAME),
        "leaving": one.leaving,
        "since_at": None if one.since_at is None else one.since_at.timestamp(),
        "until_at": None if one.until_at is None else one.until_at.timestamp(),
        "rate": rate(one.usd_per_hour),
        "per_day": "" if one.usd_per_day is None else usd(one.usd_per_day),
        "spent": usd(one.spent.usd),
        "note": note_of(one.spent),
        "trouble": plain(one.trouble),
        "asks": one.asks,
    }


def view_alarm(alarm: Alarm, titles: Mapping[str, str], runs: Mapping[str, str]) -> Section:
    """What has to be known now. A provider is called as it writes itself, a machine by its run. ``runs``: names of them, by label."""
    name = re.compile(rf"(?<![\w.-]){re.escape(alarm.provider)}(?![\w-]|\.\w)")
    text = name.sub(lambda _: title_of(alarm.provider, titles), alarm.text)
    if alarm.label in runs:
        text = text.replace(f"{alarm.label}: ", f"{runs[alarm.label]} at {title_of(alarm.provider, titles)}: ")
    day = "" if alarm.usd_per_day is None else usd(alarm.usd_per_day)
    return {"kind": alarm.kind, "text": plain(text), "per_day": day, "label": plain(alarm.label, limit=_NAME)}


def build_code(home: Path, cap: str) -> str:
    """What the panel shows, in Python."""
    set_cap = f"studio.spend_cap = {cap}\n" if cap else ""
    return (
        f"{opening(home)}{set_cap}print(studio.spend())  # spend(refresh=True) asks what was charged\nstudio.rentals()"
    )


def build_snapshot(view: Mapping[str, Any]) -> str:
    """Totals and machines, for a notebook without a kernel."""
    totals = "".join(_cells(one["name"], f"{one['usd']} {one['note']}") for one in view["totals"])
    machines = "".join(
        _cells(f"{one['provider']} {one['gpu']} {one['id']}", f"{one['state']}, {one['rate']}, {one['spent']} so far")
        for one in view["machines"]
    )
    alarms = "".join(f'<div style="font-weight:600">{_text(one["text"])}</div>' for one in view["alarms"])
    rows = f'<table style="border-collapse:collapse;border:0;margin:8px 0">{totals}{machines}</table>'
    return (
        f'<div style="{_FONT};border:{_BORDER};border-radius:4px;padding:12px 16px;max-width:880px">'
        f'<div style="font-weight:600">Spend</div>{alarms}{rows}'
        f'<div style="{_MUTED}">As it stood when the notebook was saved: run this cell to see it now.</div></div>'
    )


def _cells(name: str, value: str) -> str:
    cell = '<td style="padding:2px 16px 2px 0;text-align:left;vertical-align:top;background:none">'
    return f'<tr style="background:none">{cell}{_text(name)}</td>{cell}{_text(value)}</td></tr>'


def _text(text: object) -> str:
    return escape(plain(str(text)), quote=True)
