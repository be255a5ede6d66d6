"""A known value is found wherever it begins, however long it is, beside whatever other values are known."""

from __future__ import annotations

import random
import string

import pytest

from peft_studio.core.redact import Secret
from peft_studio.core.redact.known import Known

SIGNS = string.ascii_letters + string.digits


def draw(count: int, size: int, *, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(SIGNS, k=size)) for _ in range(count)]


@pytest.mark.parametrize(("size", "step"), [(6, 4), (14, 1), (15, 1), (22, 1), (23, 2), (31, 3), (39, 4), (100, 4)])
def test_it_is_found_at_every_place(size: int, step: int) -> None:
    """At each distance from a text's beginning and end, short ones by themselves; all but its last sign, or its first, is not it."""
    values = draw(60, size)
    hide = Known(map(Secret, values))
    assert hide._step == step
    for place in range(70):
        value = values[place % len(values)]
        for before in (" " * place, "é" + "-" * place):
            assert hide(before + value) == before + "***"
            assert hide(value + before) == "***" + before
            near = before + value[:-1] + "~" + before + "~" + value[1:]
            assert hide(near) == near


def test_few_short_ones_slow_nobody() -> None:
    """Beside many long values, one short value is looked for by itself, and found."""
    short = "q7#Zp2"
    hide = Known(map(Secret, [*draw(60, 64), short]))

    assert hide._step > 1
    assert hide(f"a {short} b {draw(1, 64)[0]}") == "a *** b ***"


def test_what_overlaps_goes_as_a_whole() -> None:
    """Of two values that share signs in the text, neither's rest is left."""
    first, shared, last = draw(3, 20)
    hide = Known(map(Secret, [first + shared, shared + last]))

    assert hide(f"<{first}{shared}{last}>") == "<***>"
    assert hide(f"<{first}{shared}{shared}{last}>") == "<******>"


def test_text_that_is_no_unicode_stays() -> None:
    """Lone surrogates, as file names bring them, go through."""
    value = draw(1, 40)[0]

    assert Known([Secret(value)])(f"\udcff{value}\ud83d") == "\udcff***\ud83d"
