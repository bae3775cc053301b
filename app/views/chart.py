"""Figures: frames in, Plotly figures out. Times arrive as aware UTC and are drawn on the viewer's clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from app.views import colors
from app.views.axes import Scale, dressed, scale, value_axis
from app.views.shaping import additive, largest, lonely, numbers, part, points
from data.metrics import Metric

CONFIG = {"displaylogo": False, "displayModeBar": False, "scrollZoom": False}


@dataclass(frozen=True, slots=True)
class Course:
    """A frame over time and how to read it: `time`, [`by`], one column a metric; drawn on the clock of `tz`.

    `before` has the same columns, its times already moved onto this range; None: nothing to compare with.
    """

    frame: pl.DataFrame
    metrics: Sequence[Metric]
    by: str = ""
    tz: str = "UTC"
    before: pl.DataFrame | None = None


def timeline(course: Course, *, bars: bool = False, height: int = 320) -> go.Figure:
    """One panel a metric over a shared time axis, one trace a value of `by`.

    Bars of sums are stacked; beside them, what does not add up is drawn as lines. The range before is drawn dotted
    and faint; over stacked bars it is one line, their sum. `height` is the pixels of a single panel.
    """
    panels = len(course.metrics)
    figure = make_subplots(rows=panels, cols=1, shared_xaxes=True, vertical_spacing=0.09 if panels > 1 else 0)
    for row, metric in enumerate(course.metrics, start=1):
        drawn = scale(metric, course.frame[metric.name])
        for trace in _traces(course, metric, drawn, bars=bars, first=row == 1):
            figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(value_axis(metric, drawn, titled=panels > 1), row=row, col=1)
    figure.update_xaxes(type="date")
    stacked = any(additive(metric) for metric in course.metrics)
    extent = height if panels == 1 else 190 * panels + 60
    return dressed(figure, extent, legend=bool(course.by)).update_layout(barmode="stack" if stacked else "group")


def ranking(frame: pl.DataFrame, metrics: Sequence[Metric], *, by: str) -> go.Figure:
    """One panel a metric side by side, one horizontal bar a value of `by`, in the frame's order from above."""
    names = frame[by].to_list()
    shades = colors.colors(by, names) if by in colors.COLORED else colors.ACCENT
    titles = [metric.label for metric in metrics] if len(metrics) > 1 else None
    figure = make_subplots(rows=1, cols=len(metrics), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.04)
    for column, metric in enumerate(metrics, start=1):
        drawn = scale(metric, frame[metric.name])
        bar = go.Bar(
            x=numbers(frame[metric.name], drawn.divisor),
            y=names,
            orientation="h",
            marker={"color": shades, "cornerradius": 4},
            hovertemplate=f"%{{y}}: {drawn.hover('x')}<extra></extra>",
        )
        figure.add_trace(bar, row=1, col=column)
        figure.update_xaxes(value_axis(metric, drawn, titled=False), row=1, col=column)
    figure = dressed(figure, max(180, 34 * len(names) + 60), legend=False)
    figure.update_yaxes(autorange="reversed", type="category", ticksuffix="  ")
    figure.update_annotations(font={"size": 13}, yshift=4)
    return figure.update_layout(hovermode="closest", bargap=0.35, margin={"t": 32 if titles else 12})


def _traces(course: Course, metric: Metric, drawn: Scale, *, bars: bool, first: bool) -> Iterator[go.Bar | go.Scatter]:
    values = largest(course.frame, course.by, course.metrics[0].name)
    shades = colors.colors(course.by, values) if course.by else [colors.ACCENT]
    bars = bars and (additive(metric) or not any(additive(other) for other in course.metrics))
    stacked = bars and bool(course.by) and additive(metric)
    for value, shade in zip(values, shades, strict=True):
        if course.before is not None and not stacked:
            before = points(part(course.before, course.by, value), metric.name, course.tz, drawn.divisor)
            yield _ghost(*before, value or metric.label, shade, drawn)
        x, y = points(part(course.frame, course.by, value), metric.name, course.tz, drawn.divisor)
        about = {"name": value or metric.label, "legendgroup": value, "showlegend": first}
        yield _bar(x, y, shade, drawn, about) if bars else _line(x, y, shade, drawn, about, filled=not value)
    if course.before is not None and stacked:
        summed = course.before.group_by("time").agg(pl.col(metric.name).sum()).sort("time")
        yield _ghost(*points(summed, metric.name, course.tz, drawn.divisor), "All", colors.OTHER, drawn)


def _bar(x: Any, y: Any, shade: str, drawn: Scale, about: dict[str, Any]) -> go.Bar:
    return go.Bar(x=x, y=y, marker={"color": shade, "line": {"width": 0}}, hovertemplate=drawn.hover(), **about)


def _line(x: Any, y: Any, shade: str, drawn: Scale, about: dict[str, Any], *, filled: bool) -> go.Scatter:
    area = {"fill": "tozeroy", "fillcolor": colors.faded(shade, 0.08)} if filled else {}
    mode = "lines+markers" if lonely(y) else "lines"
    line = {"color": shade, "width": 2}
    return go.Scatter(x=x, y=y, mode=mode, line=line, marker={"size": 5}, hovertemplate=drawn.hover(), **about, **area)


def _ghost(x: Any, y: Any, name: str, shade: str, drawn: Scale) -> go.Scatter:
    line = {"color": colors.faded(shade, 0.65), "width": 1.5, "dash": "dot"}
    about = {"name": f"{name}, before", "legendgroup": name, "showlegend": False}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hovertemplate=drawn.hover(), **about)
