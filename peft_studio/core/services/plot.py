"""Figures to keep. Plotly loads when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    figure.update_layout(
        title=title, xaxis_title="step", yaxis_title="loss", template="plotly_white", hovermode="x unified"
    )
    return figure
