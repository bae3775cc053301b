"""What a rule would have done: values against thresholds, and under them when it would have fired and who was told."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import plotly.graph_objects as go
import polars as pl
import streamlit as st
from plotly.subplots import make_subplots

from app.views import colors
from app.views.alert_grid import elapsed, stamp
from app.views.axes import dressed
from app.views.format import count
from app.views.shaping import points
from data.metrics import metric
from engine.condition import Condition
from engine.rule import Rule
from engine.simulate import Band, Simulation
from engine.simulated_notices import Notice
from engine.state import State

MOST_LINES = 6
MOST_BANDS = 400
BANDS = {State.PENDING: "#D9A520", State.FIRING: "#D0453F", State.RECOVERING: "#3C8AC4", State.NO_DATA: "#8A8A8A"}
LIMIT = "#D0453F"


def verdict(made: Simulation) -> None:
    """The counts, as cards."""
    totals = made.totals
    firing = totals.seconds.get(State.FIRING, 0.0)
    silent = sum(totals.silent.values())
    figures = (
        ("Incidents", count(totals.incidents), f"{count(totals.evaluations)} evaluations"),
        ("Time firing", _elapsed(firing), f"longest {_elapsed(totals.longest_incident_s)}"),
        ("Notices sent", count(totals.notifications), f"{count(silent)} kept silent"),
        ("Groups", count(totals.groups), "alerts the rule could have"),
    )
    cards = "".join(
        f'<div class="card" role="group" aria-label="{name}"><h6>{name}</h6><strong>{value}</strong><p>{note}</p></div>'
        for name, value, note in figures
    )
    st.html(f'<div class="cards">{cards}</div>')


def figure(rule: Rule, made: Simulation, tz: str) -> go.Figure:
    """A panel a condition with its values and threshold, bands where it fired, marks where somebody was told."""
    placed = rule.placed
    drawn = make_subplots(
        rows=len(placed),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.08,
        subplot_titles=[_title(c) for _, c in placed],
    )
    drawn.update_annotations(x=0, xanchor="left", font={"size": 12})
    groups = _groups(made)
    shades = colors.colors("model", groups) if groups[1:] else [colors.ACCENT] * len(groups)
    for row, (path, condition) in enumerate(placed, start=1):
        for group, shade in zip(groups, shades, strict=True):
            drawn.add_trace(_line(made.values, path, group, shade, tz, named=row == 1), row=row, col=1)
        drawn.add_hline(
            y=condition.value, line={"color": LIMIT, "dash": "dash", "width": 1.4}, row=row, col=1,
            annotation={"text": f"{condition.op} {condition.value:g}", "font": {"size": 11, "color": LIMIT}},
        )  # fmt: skip
    for band in _shown(made.bands):
        drawn.add_vrect(
            x0=_clock(band.start, tz), x1=_clock(band.end, tz), fillcolor=BANDS[band.state], opacity=0.28,
            line_width=0, layer="below", row="all", col=1,
        )  # fmt: skip
    told = [notice for notice in made.notices if notice.reason.notifies]
    if told:
        drawn.add_trace(_marks(told, made, rule, tz), row=1, col=1)
    drawn.update_xaxes(type="date", range=[_clock(made.grid.start, tz), _clock(made.grid.end, tz)])
    height = 300 if len(placed) == 1 else 190 * len(placed) + 60
    return dressed(drawn, height, legend=len(groups) > 1 or bool(told)).update_layout(margin={"t": 30})


def notices(made: Simulation, tz: str) -> None:
    """Every notice, sent or kept silent, with its reason."""
    rows = [
        {
            "Time": stamp(notice.time, tz),
            "Alert": ", ".join(f"{name}={value}" for name, value in notice.labels.items()) or "all",
            "Channel": notice.channel,
            "Sent": notice.reason.notifies,
            "Reason": notice.reason.value.replace("_", " "),
        }
        for notice in made.notices
    ]
    if rows:
        st.dataframe(pl.DataFrame(rows), key="simulated-notices", hide_index=True, alt="Notices of the simulation")
    else:
        st.caption("Nobody would have been told anything: it never fired, or the rule names no channel.")


def _title(condition: Condition) -> str:
    compared = " (change)" if condition.compare else ""
    return f"{metric(condition.metric).label}{compared}, {condition.window}"


def _groups(made: Simulation) -> list[str]:
    return made.values["group"].unique(maintain_order=True).to_list()[:MOST_LINES]


def _line(values: pl.DataFrame, path: str, group: str, shade: str, tz: str, *, named: bool) -> go.Scatter:
    part = values.filter((pl.col("condition") == path) & (pl.col("group") == group))
    x, y = points(part, "value", tz)
    return go.Scatter(
        x=x, y=y, mode="lines", line={"color": shade, "width": 1.6}, name=group or "value", legendgroup=group,
        showlegend=named and bool(group), hovertemplate="%{y:,.4~g}",
    )  # fmt: skip


def _marks(told: Sequence[Notice], made: Simulation, rule: Rule, tz: str) -> go.Scatter:
    top = made.values.filter(pl.col("condition") == rule.placed[0][0])["value"].max()
    level = max(float(top) if isinstance(top, int | float) else 0.0, rule.conditions[0].value)
    return go.Scatter(
        x=[_clock(notice.time, tz) for notice in told], y=[level] * len(told), mode="markers", name="notice sent",
        marker={"symbol": "triangle-down", "size": 9, "color": LIMIT},
        text=[f"{notice.channel}: {notice.reason.value}" for notice in told], hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _shown(bands: Sequence[Band]) -> list[Band]:
    """The bands that are worth a colour; the longest where there are too many to draw."""
    worth = [band for band in bands if band.state in BANDS]
    return sorted(worth, key=lambda band: band.start - band.end)[:MOST_BANDS]


def _clock(at: datetime, tz: str) -> str:
    return stamp(at, tz)


def _elapsed(seconds: float) -> str:
    return elapsed(timedelta(seconds=seconds))
