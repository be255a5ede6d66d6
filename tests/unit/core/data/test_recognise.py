from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.data.formats import FORMATS
from peft_studio.core.data.raw_row import RawRow
from peft_studio.core.data.recognise import recognise
from peft_studio.core.errors import DataError

CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SHARE = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
CALL = [
    {"role": "user", "content": "q"},
    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
]


def raw(*values: dict[str, Any]) -> list[RawRow]:
    return [RawRow(number, value, "a.jsonl", number + 1) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("row", "name", "columns"),
    [
        ({"messages": CHAT}, "messages", {"messages": "messages"}),
        ({"conversations": SHARE, "id": 1}, "sharegpt", {"conversations": "conversations"}),
        ({"conversations": CHAT}, "messages", {"messages": "conversations"}),
        ({"conversation": SHARE}, "sharegpt", {"conversations": "conversation"}),
        ({"messages": SHARE}, "sharegpt", {"conversations": "messages"}),
        ({"messages": CALL}, "tools", {"messages": "messages"}),
        ({"messages": CHAT, "tools": [{"type": "function"}]}, "tools", {"messages": "messages", "tools": "tools"}),
        ({"messages": CHAT, "tools": None}, "messages", {"messages": "messages", "tools": "tools"}),
        ({"messages": '[{"role": "user", "content": "q"}]'}, "messages", {"messages": "messages"}),
        (
            {"instruction": "i", "input": "", "output": "o"},
            "alpaca",
            {"instruction": "instruction", "output": "output", "input": "input"},
        ),
        ({"prompt": "p", "completion": "c"}, "prompt-completion", {"prompt": "prompt", "completion": "completion"}),
        (
            {"Question": "q", "Answer": "a", "id": 3},
            "prompt-completion",
            {"prompt": "Question", "completion": "Answer"},
        ),
        ({"input": "i", "output": "o"}, "prompt-completion", {"prompt": "input", "completion": "output"}),
        (
            {"instruction": "i", "response": "r"},
            "prompt-completion",
            {"prompt": "instruction", "completion": "response"},
        ),
        (
            {"prompt": CHAT[:1], "completion": CHAT[1:]},
            "prompt-completion",
            {"prompt": "prompt", "completion": "completion"},
        ),
        ({"dialogue": "A: hi", "summary": "s"}, "prompt-completion", {"prompt": "dialogue", "completion": "summary"}),
        ({"text": "t", "source": "web"}, "text", {"text": "text"}),
        ({"lyrics": "t"}, "text", {"text": "lyrics"}),
        (
            {"prompt": "p", "chosen": "c", "rejected": "r"},
            "preference",
            {"chosen": "chosen", "rejected": "rejected", "prompt": "prompt"},
        ),
        ({"chosen": CHAT, "rejected": CHAT}, "preference", {"chosen": "chosen", "rejected": "rejected"}),
    ],
)
def test_formats_and_their_columns(row: dict[str, Any], name: str, columns: dict[str, str]) -> None:
    """Each format is known by its columns and values, with the mapping that reads it and a reason in words."""
    found = recognise(raw(row, row), columns=None, format_name=None)
    assert (found.name, dict(found.columns)) == (name, columns)
    assert name in FORMATS
    assert found.confidence >= 0.8
    assert "all of the first 2 rows" in str(found)


def test_confidence_falls_with_rows_that_do_not_fit() -> None:
    """One row in four that is something else takes a quarter of the certainty."""
    found = recognise(raw(*[{"messages": CHAT}] * 3, {"messages": None, "text": "t"}), columns=None, format_name=None)
    assert found.name == "messages"
    assert found.confidence == pytest.approx(0.99 * 0.75)
    assert "3 of the first 4" in found.why


def test_the_better_fit_wins_over_the_more_telling_name() -> None:
    """An instruction column full of nothing does not hide a text column that fits."""
    rows = raw(*[{"instruction": None, "output": None, "text": "t"}] * 4)
    assert recognise(rows, columns=None, format_name=None).name == "text"


def test_columns_mapped_by_hand_decide() -> None:
    """A mapping chooses its format, over columns that would say another, and completes itself with names that match."""
    row = {"messages": CHAT, "frage": "q", "completion": "a"}
    found = recognise(raw(row), columns={"prompt": "frage"}, format_name=None)
    assert (found.name, found.confidence) == ("prompt-completion", 1.0)
    assert found.columns == {"prompt": "frage", "completion": "completion"}
    assert recognise(raw({"chat_log": SHARE}), columns={"messages": "chat_log"}, format_name=None).name == "sharegpt"
    chosen = recognise(
        raw({"p": "x", "chosen": "a", "rejected": "b"}),
        columns={"prompt": "p", "completion": "chosen"},
        format_name=None,
    )
    assert chosen.name == "prompt-completion"


@pytest.mark.parametrize(
    ("options", "why", "hint"),
    [
        ({"columns": {"promt": "q"}}, "no column 'promt' to map to", "Did you mean 'prompt'?"),
        ({"columns": {"prompt": "qq1"}}, "The data has no column 'qq1'", "Did you mean 'qq'?"),
        ({"format_name": "alpacca"}, "no format 'alpacca'", "Did you mean 'alpaca'?"),
        ({"format_name": "alpaca"}, "Format 'alpaca' needs 'instruction' and 'output'", "columns={"),
        ({"columns": {"prompt": "qq"}}, "No known format fits", "columns={"),
        ({}, "No known format fits; the columns are: 'qq', 'rr'", "columns={"),
    ],
)
def test_what_cannot_be_says_what_can(options: dict[str, Any], why: str, hint: str) -> None:
    """A wrong name brings the nearest right one; columns that mean nothing to us are listed."""
    settings = {"columns": None, "format_name": None, **options}
    with pytest.raises(DataError, match=why) as caught:
        recognise(raw({"qq": "a", "rr": "b"}), **settings)
    assert hint in caught.value.hint
