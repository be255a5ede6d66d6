from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.data import Dataset, Encoder, open_data, open_ref
from peft_studio.core.errors import DataError, ModelError
from tests.tiny import write_rows

Open = Callable[..., Dataset]
ROWS = [{"text": f"row {n}"} for n in range(20)]


def test_the_split_parts_the_rows_and_stays(opened: Open) -> None:
    """Training and held-out rows together are all rows, in order; a run sees the same split; leaving rows out moves no other."""
    data = opened(ROWS, split=0.25, seed=7)
    train, held_out = list(data.train_rows()), list(data.eval_rows())
    assert (len(train), len(held_out), data.sizes) == (15, 5, (15, 5))
    assert held_out == [ROWS[n] for n in (4, 6, 8, 15, 18)]
    assert sorted(map(str, train + held_out)) == sorted(map(str, ROWS))
    assert list(open_ref(data.ref).eval_rows()) == held_out
    less = data.leave_out([4, 5])
    assert list(less.eval_rows()) == held_out[1:]
    assert less.sizes == (14, 4)
    assert [example.row for example in less.eval_examples()] == [6, 8, 15, 18]


def test_leaving_out_adds_up_and_is_checked(opened: Open) -> None:
    """A second call keeps the first one's rows; the data set it was called on is unchanged; unknown rows are refused."""
    data = opened(ROWS)
    less = data.leave_out([3]).leave_out([1, 3])
    assert less.ref.left_out == (1, 3)
    assert data.ref.left_out == ()
    assert [row["text"] for row in less][:3] == ["row 0", "row 2", "row 4"]
    with pytest.raises(DataError, match="There is no row 20") as caught:
        data.leave_out([20])
    assert "0 to 19" in caught.value.hint


def test_a_model_is_an_encoder_a_folder_or_a_name(opened: Open, make_model: Callable[..., Path], tiny: Encoder) -> None:
    """Names go through find_model; without one, only folders will do."""
    folder = make_model()
    data = opened(ROWS, find_model=lambda name: {"tiny": folder}[name])
    lengths = [data.report(model).lengths for model in (tiny, folder, str(folder), "tiny")]
    assert lengths[0] is not None
    assert all(length == lengths[0] for length in lengths)
    with pytest.raises(ModelError, match="There is no model folder tiny"):
        opened(ROWS).report("tiny")


def test_how_it_shows(opened: Open) -> None:
    """Format, counts and problems in a terminal; in a notebook the same, with hostile text escaped."""
    data = opened([{"text": "a", "<script>alert(1)</script>": "x"}] * 3 + [{"text": "b"}], split=0.25)
    text = repr(data)
    assert "text (80% sure" in text
    assert "4: 3 to train on, 1 held out (25% by seed 0)" in text
    assert "info: 1 of 4 rows have other columns" in text
    html = data._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_one_row_by_its_number(opened: Open) -> None:
    """A held-out row says so, a left-out one can still be read; a number that is none is refused."""
    data = opened(ROWS, split=0.25, seed=7).leave_out([5])
    assert data.raw_row(5).value == ROWS[5]
    assert (data.raw_row(4).held_out, data.raw_row(5).held_out) == (True, False)
    for number in (-1, 20):
        with pytest.raises(DataError, match=f"no row {number}"):
            data.raw_row(number)


def test_a_finding_whose_rows_are_all_left_out_is_settled(opened: Open) -> None:
    """Also one without a fix of its own, such as rows with other columns."""
    data = opened([*ROWS, {"text": "x", "note": "y"}])
    assert [problem.code for problem in data.problems] == ["mixed-columns"]
    assert data.leave_out([20]).problems == ()


def test_what_the_user_said_is_known(opened: Open) -> None:
    """So that opening it again can say it too."""
    assert not opened(ROWS).format.given
    assert opened(ROWS, format="text").format.given


def test_a_file_that_has_gone_is_said_so(tmp_path: Path) -> None:
    """Deleted after it was opened: whoever reads is told which file, and what to do."""
    data = open_data(write_rows(tmp_path / "orders.jsonl", 4), folder_for_rows=tmp_path)
    (tmp_path / "orders.jsonl").unlink()

    with pytest.raises(DataError, match=r"orders\.jsonl cannot be read any more") as told:
        list(data.raw_rows())
    assert "choose the data again" in told.value.hint
