from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.data import CHATML, Dataset, Encoder, Report, load_encoder, report
from peft_studio.core.data.findings import Finding

Open = Callable[..., Dataset]
MakeModel = Callable[..., Path]
Turns = Callable[..., list[dict[str, str]]]


def finding(found: Report, code: str) -> Finding:
    return next(one for one in found.findings if one.code == code)


def codes(found: Report) -> list[str]:
    return [one.code for one in found.findings]


def pairs(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": f"question {n}", "completion": f"answer {n}", **more} for n in range(count)]


def test_clean_data_has_nothing_to_remark(opened: Open, tiny: Encoder) -> None:
    """Counts, lengths and shares are exact, and there are no findings."""
    found = opened(pairs(10), split=0.2).report(tiny)
    # <|im_start|>user\nquestion 0<|im_end|>\n<|im_start|>assistant\nanswer 0<|im_end|>\n
    length = 1 + len("user\nquestion 0") + 2 + 1 + len("assistant\nanswer 0") + 2
    assert (found.rows, found.train_rows, found.eval_rows, found.findings) == (10, 8, 2, ())
    assert found.lengths is not None
    assert (found.lengths.p50, found.lengths.p95, found.lengths.max, found.lengths.total) == (length,) * 3 + (
        10 * length,
    )
    assert found.lengths.histogram == ((length, length, 10),)
    assert found.learnt_share == pytest.approx((len("answer 0") + 1) / length)
    assert found.masked_share == pytest.approx(1 - (len("answer 0") + 1) / length)
    assert (found.template, found.masked_by) == ("chat_template.jinja of tiny", {"turns": 10})


def test_percentiles_and_histogram(opened: Open, make_model: MakeModel) -> None:
    """Lengths 2 to 101 (a byte a token, and EOS): the middle, the 95th and the longest; every row is in one bin."""
    encoder = load_encoder(make_model(template=None))
    found = opened([{"text": "x" * n} for n in range(1, 101)]).report(encoder)
    assert found.lengths is not None
    assert (found.lengths.p50, found.lengths.p95, found.lengths.max) == (51, 97, 101)
    assert sum(count for _, _, count in found.lengths.histogram) == 100
    assert [low for low, _, _ in found.lengths.histogram] == list(range(2, 102, 5))


def test_without_a_model_structure_alone_is_checked(opened: Open) -> None:
    """No token figures, and no findings on tokens."""
    found = opened(pairs(3)).report()
    assert (found.lengths, found.learnt_share, found.findings) == (None, None, ())


def test_duplicates_and_leaks(opened: Open) -> None:
    """Repeats within a side are duplicates; rows on both sides leak. The later one is named, and leaving it out settles it."""
    rows = [*pairs(20), pairs(20)[4], pairs(20)[0]]  # with seed 7, rows 1, 3, 4 … are not all on one side
    data = opened(rows, split=0.25, seed=7)
    held_out = {row.number for row in data.raw_rows() if row.held_out}
    sides = {20: 4 in held_out, 21: 0 in held_out}
    leaks = tuple(row for row, side in sides.items() if side != (row in held_out))
    duplicates = tuple(row for row, side in sides.items() if side == (row in held_out))
    found = data.report()
    assert (found.leaks, found.duplicates) == (len(leaks), len(duplicates))
    for code, expected in (("leaks", leaks), ("duplicates", duplicates)):
        if expected:
            assert finding(found, code).rows == expected
    assert data.leave_out((20, 21)).report().findings == ()


def test_a_row_on_both_sides_is_a_leak(opened: Open, tmp_path: Path) -> None:
    """Evaluation on a row that was trained on is named."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").write_text("prompt,completion\na,b\nc,d\n")
    (tmp_path / "set" / "validation.csv").write_text("prompt,completion\nc,d\ne,f\n")
    found = opened(tmp_path / "set").report()
    assert (found.leaks, finding(found, "leaks").rows, finding(found, "leaks").fix_action) == (
        1,
        (2,),
        {"leave_out": (2,)},
    )


def test_empties_and_missing_answers(opened: Open, turns: Turns) -> None:
    """Blank answers, blank questions, conversations without an answer or with an open end are each told, with their rows."""
    rows = [{"messages": turns(*said)} for said in (("q", "a"), ("q1", " "), ("  ", "a1"), ("q2",), ("q3", "a3", "q4"))]
    found = opened(rows).report()
    assert {one.code: (one.severity, one.rows) for one in found.findings} == {
        "no-answer": ("blocking", (3,)),
        "empty-answer": ("warning", (1,)),
        "empty-prompt": ("warning", (2,)),
        "open-end": ("info", (4,)),
    }
    assert codes(opened([{"text": "a"}, {"text": " \n"}], format="text").report()) == ["empty-text"]


def test_rows_with_nothing_to_learn(opened: Open, tiny: Encoder) -> None:
    """A prompt that fills max_length leaves no trainable token: blocking, with rows, and both fixes work."""
    rows = [*pairs(3), {"prompt": "long " * 20, "completion": "never seen"}]
    data = opened(rows)
    found = data.report(tiny, max_length=60)
    nothing = finding(found, "no-trainable-token")
    assert (nothing.severity, nothing.rows, nothing.fix_action) == ("blocking", (3,), {"leave_out": (3,)})
    assert found.blocking == (nothing,)
    cut = finding(found, "cut")
    assert (cut.rows, found.cut_rows, cut.severity) == ((3,), 1, "warning")
    assert found.lengths is not None
    assert found.cut_tokens == found.lengths.max - 60
    assert cut.fix_action == {"max_length": found.lengths.max}
    assert codes(data.report(tiny, max_length=found.lengths.max)) == []
    assert codes(data.leave_out([3]).report(tiny, max_length=60)) == []


def test_max_length_beyond_the_model(opened: Open, make_model: MakeModel) -> None:
    """More than the context blocks; None means the context; what cannot fit even there is said."""
    encoder = load_encoder(make_model(model_max_length=60))
    data = opened([*pairs(2), {"prompt": "q", "completion": "y" * 100}])
    over = finding(data.report(encoder, max_length=61), "over-context")
    assert (over.severity, over.fix_action) == ("blocking", {"max_length": 60})
    found = data.report(encoder)
    assert (found.max_length, codes(found)) == (60, ["cut"])
    assert finding(found, "cut").fix_action is None


def test_answers_that_do_not_end_with_eos(opened: Open, make_model: MakeModel) -> None:
    """A template without EOS at the end of a turn, a template whose tags leave it out, a model without any."""
    bare = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    data = opened(pairs(3))
    assert finding(data.report(load_encoder(make_model("bare", template=bare))), "no-eos").rows == (0, 1, 2)
    outside = CHATML.replace("{{ message['content'] + eos_token }}{% endgeneration %}",
                             "{{ message['content'] }}{% endgeneration %}{{ eos_token }}")  # fmt: skip
    assert outside != CHATML
    assert "no-eos" in codes(data.report(load_encoder(make_model("outside", template=outside))))
    without = data.report(load_encoder(make_model("without", eos_token=None)))
    assert finding(without, "no-eos-token").severity == "blocking"


def test_models_without_a_template(opened: Open, make_model: MakeModel, turns: Turns) -> None:
    """Conversations are blocked, with the fix named; pairs go on as plain text, said; documents do not care."""
    encoder = load_encoder(make_model(template=None))
    blocked = finding(opened([{"messages": turns("q", "a")}] * 2).report(encoder), "no-template")
    assert (blocked.severity, blocked.rows) == ("blocking", (0, 1))
    assert "write_chatml" in blocked.fix
    assert codes(opened(pairs(2)).report(encoder)) == ["plain-pairs"]
    assert codes(opened([{"text": "a"}, {"text": "b"}], format="text").report(encoder)) == []


def test_what_a_template_refuses_is_named(opened: Open, make_model: MakeModel, turns: Turns) -> None:
    """The template's own words, the rows, and leaving them out as the fix."""
    strict = "{% if messages[0].role != 'user' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    data = opened([{"messages": turns("q", "a")}, {"messages": turns("q", "b", system="s")}])
    refused = finding(data.report(load_encoder(make_model(template=strict))), "template-refuses")
    assert (refused.severity, refused.rows, refused.fix_action) == ("blocking", (1,), {"leave_out": (1,)})
    assert "System role not supported" in refused.message


def test_templates_that_hide_their_answers(opened: Open, make_model: MakeModel, turns: Turns) -> None:
    """Answers that cannot be told from the rest are learnt with all, and a warning says so; a date in the template too."""
    shouting = "{% for m in messages %}{{ '' if loop.last else '-' }}{{ m.content | upper }}<|im_end|>\n{% endfor %}"
    rows = [{"messages": turns("q", "a", "r", "b")}]
    found = opened(rows).report(load_encoder(make_model("shouting", template=shouting)))
    assert (codes(found), found.masked_by) == (["mask-unknown"], {"whole": 1})
    dated = "{{ strftime_now('%d') }}" + CHATML
    assert codes(opened(rows).report(load_encoder(make_model("dated", template=dated)))) == ["dated-template"]


def test_control_tokens_in_the_text(opened: Open, tiny: Encoder) -> None:
    """Rows already written out with a template would be wrapped twice; they are named."""
    found = opened([*pairs(2), {"prompt": "<|im_start|>user\nq<|im_end|>", "completion": "a"}]).report(tiny)
    assert finding(found, "control-tokens").rows == (2,)


def test_preferences_are_kept_but_block(opened: Open) -> None:
    """Both sides are read and the report says plainly that they cannot be trained on yet, and what can."""
    data = opened([{"prompt": "p", "chosen": "c", "rejected": "r"}])
    assert list(data) == [{"prompt": "p", "chosen": "c", "rejected": "r"}]
    (blocking,) = data.report().blocking
    assert blocking.code == "preference-training"
    assert "'completion': 'chosen'" in blocking.fix


def test_numbers_for_text_and_guesses_are_warned_of(opened: Open) -> None:
    """Numbers are trained as written; a format that fits only some rows is called a guess."""
    found = opened([{"prompt": "2+2", "completion": 4}, {"prompt": "1+1", "completion": "2"}]).report()
    assert [(one.code, one.rows) for one in found.findings] == [("number-as-text", (0,))]
    assert "unsure-format" in codes(opened([{"lyrics": "la la"}]).report())


def test_large_data_is_sampled_evenly_and_says_so(opened: Open, tiny: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Structure is checked on every row, tokens on a sample; no fix pretends to know the rows outside it."""
    monkeypatch.setattr(report, "SAMPLE_ROWS", 100)
    rows = pairs(1000)
    rows[501] = {"prompt": "", "completion": "x"}
    rows[500]["prompt"] = "long " * 100
    found = opened(rows).report(tiny, max_length=100)
    assert found.sampled
    assert found.lengths is not None
    assert found.lengths.counted == 100
    assert finding(found, "empty-prompt").rows == (501,)
    nothing = finding(found, "no-trainable-token")
    assert (nothing.severity, nothing.rows, nothing.fix_action) == ("blocking", (500,), None)
    assert finding(found, "cut").fix_action is not None
    assert "every 10th" in finding(found, "sampled").message


def test_how_it_shows(opened: Open, tiny: Encoder) -> None:
    """The worst first, every fact by name, hostile text as text."""
    rows = [
        *pairs(2),
        {"prompt": "<img src=x onerror=alert(1)>", "completion": ["<b>"]},
        {"prompt": "\x1b[31m", "completion": {}},
    ]
    found = opened(rows).report(tiny)
    text = repr(found)
    assert text.startswith("Data report: rows given in Python: 1 blocking problem")
    assert "tokens a row  median" in text
    assert "blocking: Rows that do not fit the format: 2" in text
    assert "\x1b" not in text
    html = found._repr_html_()
    assert "<img" not in html
    assert "<b>blocking" not in html  # severity has a style
    assert "blocking</b>" in html
