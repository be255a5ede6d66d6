"""What is left out for speed is left out rightly: the text comes out as if every pattern had been tried on it."""

from __future__ import annotations

import random
import re

import pytest

from peft_studio.core.redact import Secret, recognise_key
from peft_studio.core.redact.marked import _BY_MARK, _BY_WORD, _keep_place, hide_marked
from peft_studio.core.redact.shapes import MARKED
from tests.unit.core.redact.test_redactor import UNTOLD

KEYS = (
    "hf_" + "aB3" * 10, "api_org_" + "aB3" * 10, "rpa_" + "AB3" * 10, "secret_a_" + "0af1" * 8 + "." + "aB3d" * 8,
    "civitai_aaaaaaaaaaaaaaaA", "eyJabcdefgh.eyJabcdefgh.abcdefghijklmnop", "hh_ingst_" + "a" * 24 + "_" + "b" * 64,
    "hh_fgdp_" + "a" * 24 + "_" + "b" * 64, "hh_ro_" + "a" * 16, "hh_" + "a" * 16, "pb_aaaaaaaaaaaaaaa1",
    "tgp_v1_aaaaaaaaaaaaaaa1", "ak-aaaaaaaaaaaaaaa1", "as-aaaaaaaaaaaaaaa1", "r8_" + "a" * 37, "sk-ant-" + "a" * 32,
    "sk-" + "a" * 31 + "1", "ghp_" + "a" * 36, "github_pat_" + "a" * 60, "AKIA" + "A" * 16, "ASIA" + "0" * 16,
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_the_shortest_key_of_each_shape_is_hidden(key: str) -> None:
    """At a text's ends and inside it, with nobody having told it."""
    for before, behind in (("", ""), ("a ", " b"), ('{"x": "', '"}\n'), ("é/", ".")):
        assert hide_marked(before + key + behind) == before + "***" + behind


def test_each_shape_has_a_key_here() -> None:
    """A new shape comes with its shortest key."""
    found = {shape.pattern for key in KEYS for shape in recognise_key(Secret(key))}

    assert set(MARKED) <= found


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_left_out(seed: int) -> None:
    """Keys and their places, whole, cut and run into each other."""
    rng = random.Random(seed)
    whole = [*KEYS, *(before + key + behind for key, before, behind in UNTOLD.values())]
    for _ in range(40):
        parts = [rng.choice(whole) for _ in range(8)]
        text = rng.choice(("", " ", "\n", "é")).join(
            part[rng.choice((0, 0, 1, 3)) :][: rng.choice((5, 99))] for part in parts
        )
        assert hide_marked(text) == _all_tried(text)


def _all_tried(text: str) -> str:
    patterns: list[re.Pattern[str]] = [pattern for _, pattern in (*_BY_WORD, *_BY_MARK)]
    for pattern in patterns:
        text = pattern.sub(_keep_place, text)
    return text
