"""Tables: ranked lists with bars of share, and frames with every column in its unit."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import polars as pl
import streamlit as st

from app.views import colors
from app.views import format as form
from data.metrics import Metric, dimension

MOST_WRITTEN = 5_000  # rows of a table whose cells are written one by one
_FORMATS = {"usd": "dollar", "percent": "%.2f%%", "ms": "%,.0f ms", "s": "%,.1f s", "tokens/s": "%,.1f"}


def ranked(frame: pl.DataFrame, by: str, metric: Metric, *, extra: Metric | None = None, total: float = 0.0) -> None:
    """A list of `by`, largest first: dot of its colour, value, share of `total` as a bar.

    `frame`: `by`, `metric`, [`extra`, shown small beneath].
    """
    rows = "".join(_ranked_row(row, by, metric, extra, total) for row in frame.iter_rows(named=True))
    st.html(f'<table class="ranked"><tbody>{rows}</tbody></table>')


def _ranked_row(row: Mapping[str, Any], by: str, metric: Metric, extra: Metric | None, total: float) -> str:
    name, value = str(row[by]), row[metric.name]
    size = float(value or 0)
    share = 100 * size / total if total else 0.0
    shade = colors.color(by, name) if by in colors.COLORED else colors.ACCENT
    dot = f'<i style="background:{shade}"></i>' if by in colors.COLORED else ""
    small = (
        f"<small>{form.quantity(row[extra.name], extra.unit, short=True)} {escape(extra.label.lower())}</small>"
        if extra
        else ""
    )
    return (
        f'<tr><th scope="row" title="{escape(name)}">{dot}{escape(name)}</th>'
        f"<td>{escape(form.quantity(value, metric.unit))}{small}</td>"
        f'<td class="share"><span>{_share(share)}</span>'
        f'<div><b style="width:{min(share, 100):.1f}%;background:{shade}"></b></div></td></tr>'
    )


def _share(percent: float) -> str:
    return "&lt;1%" if 0 < percent < 0.5 else f"{percent:.0f}%"


def frame(
    data: pl.DataFrame,
    *,
    key: str,
    alt: str,
    metrics: Sequence[Metric] = (),
    labels: Mapping[str, str] | None = None,
    height: int | None = None,
) -> None:
    """The frame as it is, numbers in their unit; times must already be in the viewer's zone."""
    columns = {metric.name: number(metric.label, metric.unit, metric.definition) for metric in metrics}
    columns |= {name: st.column_config.Column(label) for name, label in (labels or {}).items()}
    _draw(data, key, columns, alt, height)


def series(data: pl.DataFrame, metrics: Sequence[Metric], by: str, tz: str) -> None:
    """The course over time as a table, newest first; with a breakdown of one metric, a column a value.

    With a comparison, a row a value, and beside each metric its value in the range before.
    """
    local = data.with_columns(pl.col("time").dt.convert_time_zone(tz).dt.replace_time_zone(None))
    columns: dict[str, Any] = {"time": st.column_config.DatetimeColumn("Time", format="YYYY-MM-DD HH:mm")}
    compared = f"{metrics[0].name}_before" in data.columns
    if by and len(metrics) == 1 and not compared:
        wide = local.pivot(on=by, index="time", values=metrics[0].name).sort("time", descending=True)
        columns |= {name: number(name, metrics[0].unit) for name in wide.columns if name != "time"}
    else:
        wide = local.sort("time", descending=True)
        columns |= {by: st.column_config.TextColumn(dimension(by).label)} if by else {}
        columns |= {each.name: number(each.label, each.unit, each.definition) for each in metrics}
        columns |= {f"{each.name}_before": number(f"{each.label} before", each.unit) for each in metrics}
        order = [f"{each.name}{part}" for each in metrics for part in ("", "_before")]
        wide = wide.select("time", *([by] if by else []), *(name for name in order if name in wide.columns))
    _draw(wide, "series", columns, "The values over time", 420)


def totals(data: pl.DataFrame, whole: pl.DataFrame, metrics: Sequence[Metric], by: str, *, compare: bool) -> None:
    """A row a value and, first, one over everything; beside each metric its value before and the change."""
    columns: dict[str, Any] = {by: st.column_config.TextColumn(dimension(by).label)} if by else {}
    for each in metrics:
        columns[each.name] = number(each.label, each.unit, each.definition)
        if compare:
            columns[f"{each.name}_before"] = number(f"{each.label} before", each.unit)
            columns[f"{each.name}_change"] = st.column_config.Column("Change", alignment="right")
    if by:
        everything = whole.with_columns(pl.lit("All").alias(by)).select(data.columns)
        data = pl.concat([everything, data], how="vertical_relaxed")
    _draw(data, "totals", columns, "Totals over the whole range", None)


def number(label: str, unit: str, definition: str | None = None) -> Any:
    """A column of numbers in a metric's unit."""
    style = _FORMATS.get("usd" if unit.startswith("usd") else unit, "localized")
    return st.column_config.NumberColumn(label, format=style, help=definition)


def _written(data: pl.DataFrame, changes: Sequence[str]) -> Any:
    """The frame with changes as people read them; they still sort as the numbers they are."""
    return data.to_pandas().style.format(form.signed_percent, subset=list(changes), na_rep=form.NOTHING)


def _draw(data: pl.DataFrame, key: str, columns: Mapping[str, Any], alt: str, height: int | None) -> None:
    """`height` in pixels, None: as high as its rows, up to Streamlit's own limit."""
    # decimals as floats, because the browser's table draws only those as numbers
    plain = data.with_columns(pl.selectors.decimal().cast(pl.Float64))
    changes = [name for name in plain.columns if name.endswith("_change")]
    st.dataframe(
        _written(plain, changes) if changes and plain.height <= MOST_WRITTEN else plain,
        key=key,
        hide_index=True,
        column_config=columns,
        alt=alt,
        height=height or "auto",
        placeholder=form.NOTHING,
    )
