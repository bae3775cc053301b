"""What Explore asks: metrics by a dimension over a range, and the same for the range before."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from app import context
from app.controls.span import Span
from app.views.shaping import NONE, shifted
from data.metrics import Metric, metric
from data.periods import Grain
from data.query import Question, fill


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Everything the controls say."""

    metrics: tuple[str, ...]
    span: Span
    by: str = ""
    grain: Grain | None = None
    where: Mapping[str, tuple[str, ...]] | None = None
    compare: bool = False

    @property
    def measured(self) -> list[Metric]:
        """The metrics themselves."""
        return [metric(name) for name in self.metrics]

    def question(self, span: Span | None = None, *, grain: Grain | None = None, by: str | None = None) -> Question:
        """The question for `span` (default: the chosen one), over time if `grain` is given."""
        at = span or self.span
        chosen = self.by if by is None else by
        return Question(
            metrics=self.metrics,
            start=at.start,
            end=at.end,
            by=(chosen,) if chosen else (),
            grain=grain,
            where=dict(self.where or {}),
            tz=at.tz,
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """The answer.

    `series` and `before` have `time`, the dimension and the metrics; None without a grain (before: without a comparison
    too). `totals` has a row a value and `METRIC_before` and `METRIC_change` when comparing; `whole` is one row over
    everything, with the same columns.
    """

    series: pl.DataFrame | None
    before: pl.DataFrame | None
    totals: pl.DataFrame
    whole: pl.DataFrame

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to show."""
        return self.totals.is_empty() or (self.series is not None and self.series.is_empty())

    def known(self, metric: str) -> bool:
        """Whether the metric has a value anywhere."""
        return not self.nothing and bool(self.whole[metric].is_not_null().any())

    def course(self) -> pl.DataFrame:
        """What the chart shows, as a table: the series with `METRIC_before` beside it, or the totals without one."""
        if self.series is None or self.before is None:
            return self.totals if self.series is None else self.series
        keys = [name for name, kind in self.series.schema.items() if not kind.is_numeric()]
        before = self.before.rename({name: f"{name}_before" for name in self.before.columns if name not in keys})
        return self.series.join(before, on=keys, how="left", maintain_order="left")


def findings(inquiry: Inquiry) -> Findings:
    """Ask everything at once."""
    spans = [inquiry.span, *([inquiry.span.previous()] if inquiry.compare else [])]
    totals = [inquiry.question(span) for span in spans]
    wholes = [inquiry.question(span, by="") for span in spans]
    courses = [inquiry.question(span, grain=inquiry.grain) for span in spans] if inquiry.grain else []
    frames = context.answer_all([*totals, *wholes, *courses])
    count = len(spans)
    series = [
        _unknown(named(fill(frame, question), inquiry.by), whole, inquiry)
        for question, frame, whole in zip(courses, frames[2 * count :], frames, strict=False)
    ]
    return Findings(
        series=series[0] if series else None,
        before=shifted(series[1], series[0]) if len(series) > 1 else None,
        totals=_compared([named(frame, inquiry.by) for frame in frames[:count]], inquiry),
        whole=_compared(frames[count : 2 * count], inquiry),
    )


def _unknown(series: pl.DataFrame, totals: pl.DataFrame, inquiry: Inquiry) -> pl.DataFrame:
    """The series without a number where a value has none over the whole range: its cost is unknown, not zero."""
    by, metrics = inquiry.by, inquiry.metrics
    if not by or series.is_empty():
        return series
    known = named(totals, by).select(by, *(pl.col(name).is_not_null().alias(f"{name}_known") for name in metrics))
    joined = series.join(known, on=by, how="left", maintain_order="left")
    return joined.with_columns(
        pl.when(pl.col(f"{name}_known")).then(pl.col(name)).alias(name) for name in metrics
    ).select(series.columns)


def named(frame: pl.DataFrame, by: str) -> pl.DataFrame:
    """The dimension as text, `(none)` where it is empty."""
    if not by:
        return frame
    text = pl.col(by).cast(pl.String)
    return frame.with_columns(pl.when(text == "").then(pl.lit(NONE)).otherwise(text).alias(by))


def _compared(frames: list[pl.DataFrame], inquiry: Inquiry) -> pl.DataFrame:
    """The totals, largest first, beside those of the range before and the change in percent."""
    now = frames[0]
    if len(frames) > 1:
        now = _joined(now, frames[1].rename({name: f"{name}_before" for name in inquiry.metrics}), inquiry.by)
        now = now.with_columns(_change(name) for name in inquiry.metrics)
        now = now.select(
            *([inquiry.by] if inquiry.by in now.columns else []),
            *(f"{name}{part}" for name in inquiry.metrics for part in ("", "_before", "_change")),
        )
    return now.sort(inquiry.metrics[0], descending=True, nulls_last=True)


def _joined(now: pl.DataFrame, before: pl.DataFrame, by: str) -> pl.DataFrame:
    if by and by in now.columns:
        return now.join(before, on=by, how="full", coalesce=True)
    return pl.concat([now, before], how="horizontal")


def _change(name: str) -> pl.Expr:
    now, before = (pl.col(column).cast(pl.Float64) for column in (name, f"{name}_before"))
    return pl.when(before != 0).then((now - before) / before.abs() * 100).alias(f"{name}_change")
