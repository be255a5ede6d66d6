"""Preflight of what is adapted: names that this architecture does not have, and the ends of the model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from peft_studio.core.models.shapes import ModelShapes
from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.problem import Problem

ENDS = frozenset({"lm_head", "embed_out", "embed_tokens", "embed_in", "wte", "wpe", "embed_positions"})
ALL = {"target_modules": "all-linear"}
_PLAIN_NAME = re.compile(r"\w+")


def check_targets(ground: Ground) -> Iterator[Problem]:
    """``target_modules`` against the layers that config.json tells."""
    wanted = ground.spec.target_modules
    if isinstance(wanted, str):
        yield from _pattern(wanted)
        return
    ends = [name for name in wanted if _last(name) in ENDS]
    if ends:
        text = f"{', '.join(ends)} is an end of the model: its adapter is large, breaks tied embeddings when merged, and many servers refuse it."
        rest = tuple(name for name in wanted if name not in ends)
        fix = "Leave it out." if rest else "Adapt all linear layers; the ends are left out."
        yield Problem("end_targeted", "warning", text, fix, "target_modules", {"target_modules": rest} if rest else ALL)
    if ground.shapes and ground.shapes.known:
        yield from _unknown([name for name in wanted if name not in ends], ends, ground.shapes)


def _unknown(wanted: list[str], ends: list[str], shapes: ModelShapes) -> Iterator[Problem]:
    known = {one.name for one in shapes.linears} | ({"gate", "experts"} if shapes.experts else set())
    missing = [name for name in wanted if _last(name) not in known]
    if not missing:
        return
    have = ", ".join(sorted(one.name for one in shapes.linears))
    text = f"{shapes.family} has no layer {', '.join(missing)}. Its linear layers are {have}."
    found = tuple(name for name in wanted if name not in missing)
    if found or ends:
        changes = {"target_modules": found} if found else ALL
        yield Problem(
            "target_missing", "warning", text, "Leave it out: peft passes over it.", "target_modules", changes
        )
    else:
        yield Problem("target_missing", "blocking", text, "Adapt all linear layers.", "target_modules", ALL)


def _pattern(wanted: str) -> Iterator[Problem]:
    """peft takes a single string as a pattern for the whole path of a layer."""
    if wanted == "all-linear":
        return
    if _PLAIN_NAME.fullmatch(wanted):
        text = f"As a single text, {wanted!r} is a pattern for a layer's whole path, and matches none."
        yield Problem("target_pattern", "blocking", text, f"Give names as a tuple: ({wanted!r},).", "target_modules", {"target_modules": (wanted,)})  # fmt: skip
        return
    try:
        re.compile(wanted)
    except re.error as exc:
        text = f"target_modules is a pattern that cannot be read: {exc}."
        yield Problem(
            "target_pattern", "blocking", text, "Give a tuple of names, or 'all-linear'.", "target_modules", ALL
        )


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
