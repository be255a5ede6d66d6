from __future__ import annotations

import random

import pytest

from peft_studio.core.data import seen
from peft_studio.core.data.example import Example, Message
from peft_studio.core.data.seen import RowsSeen, digest_of_example


def test_agrees_with_a_set() -> None:
    """Over many random digests, collisions of slots included, the answers are those of plain sets."""
    rng = random.Random(1)
    table, sides = RowsSeen(5000), {False: set[int](), True: set[int]()}
    for _ in range(5000):
        digest, held_out = rng.randrange(2000) << 40 | rng.randrange(4), rng.random() < 0.3
        key = digest >> 2
        expected = "duplicate" if key in sides[held_out] else "leak" if key in sides[not held_out] else "new"
        assert table.see(digest, held_out=held_out) == expected
        sides[held_out].add(key)


def test_memory_is_fixed_and_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the table is full it says so and compares no more, instead of growing."""
    monkeypatch.setattr(seen, "_MOST_SLOTS", 1024)
    table = RowsSeen(10**9)
    for number in range(2000):
        table.see(number << 20, held_out=False)
    assert table.full
    assert table.compared == 768


def test_the_digest_is_of_what_is_taught() -> None:
    """The row's number does not count; roles, texts, their borders, calls and tools do."""

    def chat(*said: tuple[str, str], row: int = 0, tools: tuple[str, ...] | None = None) -> int:
        return digest_of_example(Example(row, "chat", messages=tuple(Message(*turn) for turn in said), tools=tools))

    base = chat(("user", "ab"), ("assistant", "c"))
    assert base == chat(("user", "ab"), ("assistant", "c"), row=9)
    others = {
        chat(("user", "a"), ("assistant", "bc")),
        chat(("assistant", "ab"), ("user", "c")),
        chat(("user", "ab"), ("assistant", "c"), tools=("f",)),
        digest_of_example(
            Example(0, "chat", messages=(Message("user", "ab"), Message("assistant", "c", {"tool_calls": [1]})))
        ),
        digest_of_example(Example(0, "text", text="abc")),
    }
    assert base not in others
    assert len(others) == 5
