from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from peft_studio.core.data import Dataset, Encoder, load_encoder
from peft_studio.core.data.preview import decode_pieces, preview_row

Open = Callable[..., Dataset]
Turns = Callable[..., list[dict[str, str]]]


def test_it_shows_the_very_tokens_that_are_trained(opened: Open, tiny: Encoder, turns: Turns) -> None:
    """The pieces hold exactly the encoder's tokens, in order, with its mask; characters of several bytes stay whole."""
    data = opened([{"messages": turns("hé", "日本 😀", "x", " y\n")}])
    (row,) = data.preview(1, model=tiny).rows
    encoded = tiny.encode(next(data.train_examples()), max_length=None)
    assert [token for piece in row.pieces for token in piece.tokens] == encoded.tokens
    assert "".join(piece.text for piece in row.pieces) == tiny.tokenizer.decode(
        encoded.tokens, skip_special_tokens=False
    )
    assert "".join(piece.text for piece in row.pieces if piece.learnt) == "日本 😀<|im_end|> y\n<|im_end|>"
    assert (row.tokens, row.learnt) == (len(encoded.tokens), sum(encoded.trainable))


def test_as_text(opened: Open, tiny: Encoder, turns: Turns) -> None:
    """What is learnt stands in brackets that a legend explains; held-out rows are not shown."""
    data = opened([{"messages": turns(f"q{n}", "a")} for n in range(4)], split=0.25)
    preview = data.preview(2, model=tiny)
    text = repr(preview)
    assert "<|im_start|>assistant\n⟦a<|im_end|>⟧" in text
    assert "24 tokens of tiny, 2 learnt" in text
    assert "the loss is on these tokens" in text
    assert len(preview.rows) == 2
    held_out = {row.number for row in data.raw_rows() if row.held_out}
    assert not held_out & {row.row for row in data.preview(9).rows}


def test_cuts_are_shown(opened: Open, tiny: Encoder) -> None:
    """With max_length the preview ends where training does, in the middle of a character if need be, and counts the rest."""
    data = opened([{"prompt": "q", "completion": "a😀"}])
    whole = tiny.encode(next(data.train_examples()), max_length=None)
    preview = data.preview(model=tiny, max_length=whole.whole_tokens - 4)
    assert [token for piece in preview.rows[0].pieces for token in piece.tokens] == whole.tokens[:-4]
    assert "4 more are cut" in repr(preview)


def test_without_a_model_turns_are_shown(opened: Open, turns: Turns) -> None:
    """Roles and texts, the answers marked; no token is claimed."""
    text = repr(opened([{"messages": turns("q", "a", system="s")}]).preview())
    assert "Row 0\nsystem: s\nuser: q\nassistant: ⟦a⟧" in text
    assert "tokens of" not in text


def test_rows_that_cannot_be_trained_are_shown_with_the_reason(
    opened: Open, make_model: Callable[..., Path], turns: Turns
) -> None:
    """A broken row, a misfit and a refusal take the row's place; the others are shown."""
    encoder = load_encoder(make_model(template="{{ raise_exception('no') if messages | length > 2 }}x"))
    rows = [{"messages": turns("q", "a")}, {"messages": 3}, {"messages": turns("q", "a", "r", "b")}]
    preview = opened(rows, format="messages").preview(3, model=encoder)
    assert [bool(row.problem) for row in preview.rows] == [False, True, True]
    assert "is a number, not a list of turns" in repr(preview)
    assert "refuses this conversation: no" in repr(preview)


class Tags(HTMLParser):
    """Collects what a browser would make of a page: its tags, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("with_model", [True, False])
def test_as_html_rows_cannot_become_markup(opened: Open, tiny: Encoder, with_model: bool) -> None:
    """Whatever a row holds, the page has our tags alone, and shows control characters as symbols."""
    hostile = "</span><script>alert(1)</script><img src=x onerror=alert(1)>\"'&lt;\x1b[0m\u202e\x00"
    html = (
        opened([{"prompt": hostile, "completion": hostile}]).preview(model=tiny if with_model else None)._repr_html_()
    )
    page = Tags()
    page.feed(html)
    assert page.tags <= {"div", "p", "span", "b"}
    assert page.attributes <= {"style", "class", "title"}
    assert "<script>alert(1)</script>" in page.text
    assert "<U+001B>[0m<U+202E><U+0000>" in page.text
    assert "var(--jp-" in html


def test_pieces_of_a_real_vocabulary(tiny: Encoder) -> None:
    """Every byte of a text comes back once, whatever the characters, and unfinished ones at the end are not lost."""
    tokens = tiny.tokenizer.encode("é😀e").ids
    for end in range(1, len(tokens) + 1):
        pieces = decode_pieces(tiny, tokens[:end], [True] * end)
        assert [token for piece in pieces for token in piece.tokens] == tokens[:end]


def test_one_row_with_what_is_cut_from_it(opened: Open, tiny: Encoder, turns: Turns) -> None:
    """Past the cut pieces are marked and not learnt, special tokens are marked, and counts are of what is kept."""
    data = opened([{"messages": turns("q", "an answer")}])
    whole = preview_row(data, data.raw_row(0), tiny, max_length=None, assistant_only=True)
    kept = whole.tokens - 6
    row = preview_row(data, data.raw_row(0), tiny, max_length=kept, assistant_only=True)
    encoded = tiny.encode(next(data.train_examples()), max_length=kept)

    assert (row.tokens, row.cut_tokens, row.learnt) == (kept, 6, encoded.trainable.count(True))
    assert [piece.text for piece in row.pieces] == [piece.text for piece in whole.pieces]
    assert [token for piece in row.pieces if not piece.cut for token in piece.tokens] == encoded.tokens
    assert {piece.text for piece in row.pieces if piece.special} == {"<|im_start|>", "<|im_end|>"}
    assert not any(piece.cut and piece.learnt for piece in row.pieces)


def test_the_middle_of_a_long_row_is_passed_over(opened: Open, tiny: Encoder) -> None:
    """The first and last tokens are shown, with how many lie between; counts are of all."""
    data = opened([{"text": "abcdefghij" * 100}])
    row = preview_row(data, data.raw_row(0), tiny, max_length=None, assistant_only=True, most=20)

    assert sum(len(piece.tokens) for piece in row.pieces) + row.skipped == row.tokens == 1001
    assert "".join(piece.text for piece in row.pieces[: row.skipped_at]) == "abcdefghijabcde"
    assert "".join(piece.text for piece in row.pieces[row.skipped_at :]) == "ghij<|im_end|>"


def test_a_row_that_cannot_be_trained_on_says_why(opened: Open, tiny: Encoder, turns: Turns) -> None:
    """With and without a model."""
    data = opened([{"messages": turns("q", "a")}, {"messages": "x"}])

    assert "row 1" in preview_row(data, data.raw_row(1), tiny, max_length=None, assistant_only=True).problem.lower()
    assert preview_row(data, data.raw_row(0), None, max_length=None, assistant_only=True).pieces[1].text == "q"
