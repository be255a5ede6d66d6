"""Runs side by side: the numbers are those that were logged, and what is not known is a dash."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio.core.errors import RunNotFound, StudioError
from peft_studio.core.runs.metrics import MetricsWriter
from tests.ui.write_home import write_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., str]:
    """A run of the home in ``tmp_path``; gives its id."""

    def _make(number: int, name: str, state: str = "completed", **fields: object) -> str:
        return write_run(tmp_path, number, name, state, at=1_795_000_000.0, **fields).name

    return _make


def test_table_and_curves_have_what_was_logged(tmp_path: Path, make_run: Callable[..., str]) -> None:
    """One row a run in the order given, handles and ids alike; a run without steps has no numbers and no line."""
    studio = Studio(home=tmp_path)
    ids = [make_run(1, "a", method="lora", rank=8), make_run(2, "b", method="dora"), make_run(3, "c", state="queued")]
    for step, time_s in ((1, 10.0), (60, 128.0)):
        MetricsWriter(studio.run(ids[0]).folder.metrics).log(step, time_s=time_s)
    system = MetricsWriter(studio.run(ids[0]).folder.system)
    for step, rss_bytes in ((1, 9.0e9), (2, 7.0e9)):
        system.log(step, rss_bytes=rss_bytes)
    comparison = studio.compare([studio.run(ids[0]), *ids[1:]])
    frame = comparison.table()

    metrics = studio.run(ids[0]).metrics()
    assert list(frame.run) == ["a", "b", "c"]
    assert list(frame.method) == ["lora", "dora", "lora"]
    assert (frame.first_loss[0], frame.loss[0], frame.step[0]) == (metrics.loss[0], metrics.loss.iloc[-1], 60)
    assert frame.s_per_step[0] == 2.0
    assert frame.memory_gb[0] == 9.0
    assert math.isnan(frame.memory_gb[2])
    assert math.isnan(frame.loss[2])
    figure = comparison.plot()
    assert [line.name for line in figure.data] == ["a", "b", "c"]
    assert len(figure.data[0].y) == 60


def test_it_reads_well_as_text_and_as_html(tmp_path: Path, make_run: Callable[..., str]) -> None:
    """Aligned columns with a dash for what is not known; names are escaped."""
    ids = [make_run(1, "<b>bold</b>"), make_run(2, "waiting", state="queued")]
    comparison = Studio(home=tmp_path).compare(ids)
    first, second, third = repr(comparison).splitlines()
    html = comparison._repr_html_()

    assert first.split()[:4] == ["run", "state", "method", "rank"]
    assert second.startswith("<b>bold</b>")
    assert "—" in third
    assert "&lt;b&gt;bold" in html
    assert "<b>bold" not in html
    assert html.count("<svg") == 2  # the picture, and one line's piece of it in the legend


def test_nothing_and_unknown_runs_are_refused(tmp_path: Path) -> None:
    """The hint says what to give."""
    with pytest.raises(StudioError, match="nothing to compare") as caught:
        Studio(home=tmp_path).compare([])
    with pytest.raises(RunNotFound):
        Studio(home=tmp_path).compare(["r-20200101-000000-ffffff"])
    assert caught.value.hint
