"""How a metric's unit looks on an axis and under the pointer, and the dress every figure wears.

Colours of text, grid and hover box are left to the theme, so that light and dark both fit without a rerun.
"""

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl

from data.metrics import Metric

GRID = "rgba(128,128,128,0.16)"
LONG_MS = 2_000.0  # from here on latencies are drawn in seconds


@dataclass(frozen=True, slots=True)
class Scale:
    """How values are drawn: divided by `divisor`, with signs around the ticks and d3 format `form` in the hover box."""

    divisor: float
    prefix: str
    suffix: str
    form: str

    def hover(self, axis: str = "y") -> str:
        """Plotly's template for one value on `axis`."""
        return f"{self.prefix}%{{{axis}:{self.form}}}{self.suffix}"


def scale(metric: Metric, values: pl.Series) -> Scale:
    """What suits the metric's unit and the largest of `values`."""
    top = float(values.cast(pl.Float64).fill_nan(None).max() or 0)  # type: ignore[arg-type]
    if metric.unit == "ms":
        return Scale(1_000, "", " s", ",.2f") if top >= LONG_MS else Scale(1, "", " ms", ",.0f")
    if metric.unit.startswith("usd"):
        return Scale(1, "$", metric.unit.removeprefix("usd"), ",.2f" if top >= 1 else ",.3~r")
    if metric.unit == "percent":
        return Scale(1, "", "%", ".2f")
    if metric.unit in {"s", "tokens/s"}:
        return Scale(1, "", " s" if metric.unit == "s" else "/s", ",.1f")
    return Scale(1, "", "", ",.0f")


def value_axis(metric: Metric, drawn: Scale, *, titled: bool) -> dict[str, Any]:
    """The settings of an axis that shows the metric, from zero."""
    return {
        "tickprefix": drawn.prefix,
        "ticksuffix": drawn.suffix,
        "exponentformat": "B",
        "separatethousands": True,
        "rangemode": "tozero",
        "gridcolor": GRID,
        "nticks": 6,
        "title": {"text": metric.label, "font": {"size": 12}} if titled else None,
    }


def dressed(figure: go.Figure, height: int, *, legend: bool) -> go.Figure:
    """The figure in the app's type, margins and legend; `height` in pixels."""
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 8, "t": 12, "b": 40 if legend else 8},
        font={"family": "Inter, system-ui, sans-serif", "size": 12},
        hovermode="x unified",
        hoverlabel={"font": {"size": 12}},
        bargap=0.18,
        showlegend=legend,
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "title": None},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(showgrid=False, zeroline=False, tickfont={"size": 11})
    return figure.update_yaxes(zeroline=False, tickfont={"size": 11}, automargin=True)
