"""How Explore draws its findings: lines or bars over time, or ranked bars where there is no time."""

import plotly.graph_objects as go
import polars as pl

from app.inquiry import Findings, Inquiry
from app.views import chart
from app.views.shaping import OTHER, folded, known_sum

MOST_RANKED = 20
ALL = "All"


def picture(found: Findings, asked: Inquiry, *, bars: bool) -> tuple[go.Figure, int]:
    """The figure, and how many values of the breakdown it leaves out."""
    measured = asked.measured
    if found.series is None:
        by = asked.by or "all"
        totals = found.totals if asked.by else found.totals.with_columns(pl.lit(ALL).alias(by))
        shown = totals.head(MOST_RANKED)
        return chart.ranking(shown, measured, by=by), totals.height - shown.height
    if not asked.by:
        return chart.timeline(chart.Course(found.series, measured, "", asked.span.tz, found.before), bars=bars), 0
    series, hidden = folded(found.series, asked.by, measured)
    before = _alike(found.before, series, asked) if found.before is not None else None
    course = chart.Course(series, measured, asked.by, asked.span.tz, before)
    return chart.timeline(course, bars=bars, height=380), hidden


def _alike(before: pl.DataFrame, series: pl.DataFrame, asked: Inquiry) -> pl.DataFrame:
    """The range before with the same values shown and the same ones in `Other`."""
    shown = series[asked.by].unique().to_list()
    kept = before.filter(pl.col(asked.by).is_in(shown))
    if OTHER not in shown:
        return kept
    rest = before.filter(~pl.col(asked.by).is_in(shown)).with_columns(pl.lit(OTHER).alias(asked.by))
    summed = rest.group_by("time", asked.by).agg(known_sum(name) for name in asked.metrics)
    return pl.concat([kept, summed.select(kept.columns)])
