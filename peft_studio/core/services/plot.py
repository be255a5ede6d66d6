"""Figures to keep. Plotly loads when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peft_studio.core.markup import SERIES

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

RAW, SMOOTH, EVALUATION = "rgba(47, 102, 221, 0.32)", "#2f66dd", "#cc7a2e"


def build_loss_figure(metrics: pandas.DataFrame, *, title: str) -> plotly.graph_objects.Figure:
    """Loss by step: raw faint, smoothed over it, evaluations as points."""
    import plotly.graph_objects as go

    train = metrics.dropna(subset=["loss"])
    evaluation = metrics.dropna(subset=["eval_loss"])
    figure = go.Figure()
    figure.add_scatter(x=train["step"], y=train["loss"], name="loss", line={"color": RAW, "width": 1})
    if len(train) > 1:
        smooth = train["loss"].ewm(span=max(2, len(train) // 10)).mean()
        figure.add_scatter(x=train["step"], y=smooth, name="smoothed", line={"color": SMOOTH, "width": 2})
    if len(evaluation):
        figure.add_scatter(
            x=evaluation["step"],
            y=evaluation["eval_loss"],
            name="evaluation",
            mode="markers+lines",
            line={"color": EVALUATION, "dash": "dash"},
        )
    return _finish(figure, title)


def build_overlay(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> plotly.graph_objects.Figure:
    """Loss by step of several runs: each a name and its points."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for at, (name, points) in enumerate(lines):
        color, dash = SERIES[at % len(SERIES)]
        line = {"color": color, "width": 2, "dash": dash.replace(" ", "px,") + "px" if dash else "solid"}
        figure.add_scatter(x=[x for x, _ in points], y=[y for _, y in points], name=name, mode="lines", line=line)
    return _finish(figure, "Loss by step")


def _finish(figure: plotly.graph_objects.Figure, title: str) -> plotly.graph_objects.Figure:
    figure.update_layout(
        title=title, xaxis_title="step", yaxis_title="loss", template="plotly_white", hovermode="x unified"
    )
    return figure
