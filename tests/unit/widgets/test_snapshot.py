"""The picture in a saved notebook."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from peft_studio.core.runs.curve import Bucket, Curve
from peft_studio.widgets._snapshot import duration, run_snapshot, smoothed, state_words
from tests.ui.write_run import RunWriter, build_spec
from tests.unit.widgets.test_view import view


class Tags(HTMLParser):
    """Every tag and attribute name of a document."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def snapshot(writer: RunWriter) -> str:
    from peft_studio.core.runs.metrics import read_metrics

    curve = Curve()
    curve.add(read_metrics(writer.folder.metrics))
    return run_snapshot(view(writer), curve, at=1_800_000_000.0)


def test_a_completed_run_says_what_came_of_it(writer: RunWriter) -> None:
    """State, model, step, losses, cost, file, curve and when it was: all there without a kernel."""
    writer.begin()
    writer.train(60)
    writer.end("completed")
    page = Tags(snapshot(writer))

    for words in (
        "Completed",
        "orders-to-json",
        "smollm2-135m",
        "60 of 300",
        "no charge on this machine",
        "adapter",
        "Snapshot of r-2026",
    ):
        assert words in page.text
    assert "path" in page.tags


def test_a_snapshot_is_static_and_escaped(run_folder) -> None:
    """No script, no link, no image, no handler, whatever names the run has."""
    writer = RunWriter(run_folder, build_spec(name='"><script>alert(1)</script><img src=x onerror=alert(1)>'))
    writer.begin()
    writer.train(5)
    page = Tags(snapshot(writer))

    assert page.tags <= {"div", "span", "table", "tr", "td", "br", "svg", "path", "g"}
    assert not any(name.startswith("on") or name in {"href", "src"} for name in page.attributes)
    assert "<script>" in page.text


def test_a_run_without_steps_has_no_curve(writer: RunWriter) -> None:
    """Never a flat line at zero."""
    assert "<svg" not in snapshot(writer)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (48, "48 s"), (60, "1 m"), (872, "14 m 32 s"), (9660, "2 h 41 m"), (273_600, "3 d 4 h")],
)
def test_durations_have_two_units(seconds: float, words: str) -> None:
    """The two largest, never three."""
    assert duration(seconds) == words


def test_a_silent_run_is_named_by_its_silence() -> None:
    """No state word for a live run nobody hears."""
    head = {"stale": True, "live": True, "heard_s": 42.0, "state": "training"}

    assert state_words(head) == "Last heard 42 s ago"
    assert state_words({**head, "stale": False}) == "Training"


def test_smoothing_a_joined_bucket_is_smoothing_its_rows() -> None:
    """A bucket of four rows moves the average as far as four rows of its mean."""

    def bucket(mean: float, count: float) -> Bucket:
        return Bucket(0, 0, 0, mean, mean, mean, count, 0, 0)

    joined = smoothed([bucket(1.0, 1), bucket(2.0, 4)], 0.9)
    single = smoothed([bucket(1.0, 1), *[bucket(2.0, 1)] * 4], 0.9)

    assert joined[-1] == pytest.approx(single[-1])
