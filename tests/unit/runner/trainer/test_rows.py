"""Rows as the loop takes them: tokens, labels, padding, packing."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio.core.errors import DataError, ModelError
from peft_studio.runner.trainer.problems import explain_failure
from peft_studio.runner.trainer.rows import IGNORED, Collator, PackedRows, PadJoin, TokenRows, load_rows
from tests.tiny import write_rows
from tests.unit.core.runs.conftest import build_spec


def some_rows() -> TokenRows:
    rows = TokenRows()
    rows.add([1, 2, 3], [False, True, True])
    rows.add([4], [True])
    rows.add([5, 6, 7, 8, 9], [False] * 5)
    return rows


def test_rows_come_back_as_they_were_added() -> None:
    """Labels are the token where it is learnt, -100 elsewhere."""
    rows = some_rows()
    assert len(rows) == 3
    assert rows[0] == {"input_ids": [1, 2, 3], "labels": [IGNORED, 2, 3]}
    assert rows[1] == {"input_ids": [4], "labels": [4]}
    assert rows[2]["labels"] == [IGNORED] * 5
    assert (rows.lengths(), rows.trained_tokens) == ([3, 1, 5], 2)  # nothing comes before the first token of a row


def test_a_row_with_fewer_marks_than_tokens_is_refused() -> None:
    """Half a mask would train the wrong tokens."""
    with pytest.raises(ValueError, match="zip"):
        TokenRows().add([1, 2, 3], [True])


def test_padding_is_neither_read_nor_learnt() -> None:
    """Right of each row: the pad token, no attention, no label."""
    batch = Collator(PadJoin(0))([some_rows()[0], some_rows()[1]])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 2, 3], [4, IGNORED, IGNORED]]


def test_packed_rows_are_lists_of_rows() -> None:
    """A micro-batch made beforehand is joined like one made on the way."""
    rows = some_rows()
    packed = PackedRows(rows, [[2], [1, 0]])
    assert len(packed) == 2
    assert packed[1] == [rows[1], rows[0]]
    join = Collator(PadJoin(0))
    assert join([packed[1]])["input_ids"].tolist() == join([rows[1], rows[0]])["input_ids"].tolist()


@pytest.fixture
def loaded(tiny_model: Path, tmp_path: Path) -> object:
    path = write_rows(tmp_path / "rows.jsonl", 44)
    ref = Studio(home=tmp_path / "home").data(str(path), split=0.25, seed=3).ref
    return lambda **fields: load_rows(build_spec(data=ref, **fields), tiny_model, should_stop=lambda: False)


def test_every_row_is_in_one_split(loaded: object) -> None:
    """Training and evaluation rows together are all rows, and none is cut at a length that covers them."""
    train, held_out = loaded(max_length=256)  # type: ignore[operator]
    assert (len(train), len(held_out)) == (33, 11)
    cut, _ = loaded(max_length=40)  # type: ignore[operator]
    assert max(cut.lengths()) == 40
    assert 0 < train.trained_tokens < sum(train.lengths())
    everything, _ = loaded(max_length=256, assistant_only_loss=False)  # type: ignore[operator]
    assert everything.trained_tokens > train.trained_tokens


def test_nothing_to_learn_is_an_error_with_its_code(loaded: object) -> None:
    """Prompts that fill the whole length leave no answer."""
    with pytest.raises(DataError, match="No row has a token to learn from") as caught:
        loaded(max_length=8)  # type: ignore[operator]
    assert caught.value.code == "no_trainable_tokens"  # type: ignore[attr-defined]


def test_rows_that_teach_nothing_are_left_out_and_counted(loaded: object, capsys: pytest.CaptureFixture[str]) -> None:
    """A step of such rows alone would have a loss of 0/0. They are named in the log, and held-out ones are not counted as rows."""
    whole, _ = loaded(max_length=256)  # type: ignore[operator]
    assert capsys.readouterr().err == ""
    cut, _ = loaded(max_length=40)  # type: ignore[operator]
    assert len(cut) < len(whole)
    assert f"{len(whole) - len(cut)} training rows have no token to learn from" in capsys.readouterr().err
    assert all(any(label != IGNORED for label in cut[n]["labels"][1:]) for n in range(len(cut)))


@pytest.mark.parametrize("template", ["{% for m in messages %}{{ m['role'] ", "{{ raise_exception('no such roles') }}"])
def test_a_template_that_fails_is_the_templates_fault(
    loaded: object, tiny_model: Path, tmp_path: Path, template: str
) -> None:
    """No valid Jinja, or one that refuses the conversation."""
    import shutil

    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "chat_template.jinja").write_text(template)
    path = write_rows(tmp_path / "other.jsonl", 12)
    ref = Studio(home=tmp_path / "home").data(str(path)).ref
    with pytest.raises((DataError, ModelError)) as caught:
        load_rows(build_spec(data=ref, max_length=256), model, should_stop=lambda: False)
    assert explain_failure(caught.value, None, step=None).code == "bad_template"
