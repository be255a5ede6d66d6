from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.data.build import build_example
from peft_studio.core.data.example import Example, Message, RowMisfit
from peft_studio.core.data.raw_row import RawRow


def build(format_name: str, value: dict[str, Any] | None, **columns: str) -> Example:
    names = columns or {name: name for name in value or ()}
    return build_example(RawRow(3, value, "a.jsonl", 7, broken="half a line"), format_name=format_name, columns=names)


def spoken(example: Example) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in example.messages or ()]


@pytest.mark.parametrize(
    ("format_name", "value", "kind", "said"),
    [
        ("alpaca", {"instruction": "i", "input": "x", "output": "o"}, "pair", [("user", "i\n\nx"), ("assistant", "o")]),
        ("alpaca", {"instruction": "i", "input": "", "output": "o"}, "pair", [("user", "i"), ("assistant", "o")]),
        ("alpaca", {"instruction": "i", "input": None, "output": "o", "system": "s"}, "pair",
         [("system", "s"), ("user", "i"), ("assistant", "o")]),
        ("prompt-completion", {"prompt": "p", "completion": "c"}, "pair", [("user", "p"), ("assistant", "c")]),
        ("prompt-completion", {"prompt": [{"role": "user", "content": "p"}], "completion": "c"}, "chat",
         [("user", "p"), ("assistant", "c")]),
        ("sharegpt", {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"}, "chat",
         [("system", "s"), ("user", "q"), ("assistant", "a")]),
        ("sharegpt", {"conversations": [{"from": "system", "value": "t"}], "system": "s"}, "chat", [("system", "t")]),
        ("messages", {"messages": [{"role": "User", "content": "q"}, {"role": "model", "content": "a"}]}, "chat",
         [("user", "q"), ("assistant", "a")]),
        ("preference", {"prompt": "p", "chosen": "c", "rejected": "r"}, "pair", [("user", "p"), ("assistant", "c")]),
    ],
)  # fmt: skip
def test_each_format_becomes_turns(
    format_name: str, value: dict[str, Any], kind: str, said: list[tuple[str, str]]
) -> None:
    """What each format means, in one shape."""
    example = build(format_name, value)
    assert (example.row, example.kind, spoken(example)) == (3, kind, said)


def test_text_stays_text() -> None:
    """A text row has no turns."""
    assert build("text", {"text": "t"}) == Example(3, "text", text="t")


def test_tool_calls_and_tools_are_kept() -> None:
    """Calls without content, tool answers and tool descriptions (also as a JSON string) reach the template unchanged."""
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    example = build(
        "tools",
        {
            "messages": [
                {"role": "user", "content": "q", "name": None},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": "42", "tool_call_id": "1"},
            ],
            "tools": '[{"type": "function", "function": {"name": "f"}}]',
        },
    )
    assert example.messages is not None
    assert example.messages[0].to_dict() == {"role": "user", "content": "q"}
    assert example.messages[1].to_dict() == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert example.messages[2] == Message("tool", "42", {"tool_call_id": "1"})
    assert example.tools == ({"type": "function", "function": {"name": "f"}},)


def test_sharegpt_function_calls_become_tool_calls() -> None:
    """A function_call turn holds a JSON call; it becomes what chat templates know."""
    turn = {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'}
    example = build("sharegpt", {"conversations": [turn]})
    assert example.messages is not None
    assert example.messages[0].extra["tool_calls"] == [
        {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    ]


def test_what_is_changed_is_noted() -> None:
    """Numbers written out, parts joined and roles renamed are visible afterwards, not silent."""
    content = [{"type": "text", "text": "a"}, "b"]
    example = build(
        "messages", {"messages": [{"role": "human", "content": 4.5}, {"role": "assistant", "content": content}]}
    )
    assert spoken(example) == [("user", "4.5"), ("assistant", "ab")]
    assert example.notes == ("number-as-text", "parts-joined", "role-renamed")


@pytest.mark.parametrize(
    ("format_name", "value", "why"),
    [
        ("messages", {"messages": []}, "'messages' has no turns"),
        ("messages", {"messages": None}, "'messages' is missing, not a list of turns"),
        ("messages", {"messages": "not json"}, "is text that is not JSON"),
        ("messages", {"messages": ["hi"]}, "turn 0 of 'messages' is text, not an object"),
        ("messages", {"messages": [{"role": "narrator", "content": "x"}]}, "has the role 'narrator', which is none of"),
        ("messages", {"messages": [{"content": "x"}]}, "has the role None"),
        (
            "messages",
            {"messages": [{"role": "user", "content": None}]},
            "the content of turn 0 of 'messages' is missing",
        ),
        ("messages", {"messages": [{"role": "user", "content": {"a": 1}}]}, "is an object, not text"),
        ("messages", {"messages": [{"role": "user", "content": True}]}, "is true or false, not text"),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]},
            "part of type 'image'",
        ),
        ("messages", {"messages": [{"role": "user", "content": "\ud800"}]}, "half a surrogate pair"),
        ("prompt-completion", {"prompt": "p", "completion": ["a"]}, "'completion' is a list, not text"),
        ("prompt-completion", {"prompt": "p"}, "'completion' is missing, not text"),
        ("preference", {"prompt": "p", "chosen": "c", "rejected": None}, "'rejected' is missing, not text"),
        ("tools", {"messages": [{"role": "user", "content": "x"}], "tools": ["f"]}, "not a list of tool descriptions"),
        ("text", None, "half a line"),
    ],
)
def test_a_row_that_does_not_fit_says_why(format_name: str, value: dict[str, Any] | None, why: str) -> None:
    """The error names row, file, line and field; nothing is guessed or skipped."""
    with pytest.raises(RowMisfit) as caught:
        build(format_name, value)
    assert caught.value.row == 3
    assert "a.jsonl:7" in caught.value.message
    assert why in caught.value.message
