"""What a rule would have done: values against thresholds, and under them when it would have fired and who was told."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

import orjson
import plotly.graph_objects as go
import polars as pl
import streamlit as st
from plotly.subplots import make_subplots

from app.incident_record import Mark, Record
from app.views import colors
from app.views.alert_grid import elapsed, stamp
from app.views.axes import Scale, dressed, scale, value_axis
from app.views.format import count
from app.views.incidents import plain
from app.views.shaping import lonely, points
from data.metrics import Metric, metric
from engine.condition import CompareAs, Condition
from engine.rule import Rule
from engine.said import SimulatedNotice
from engine.sentence import quantity
from engine.simulate import Band, Simulation
from engine.state import State

MOST_LINES = 6
MOST_BANDS = 400
MOST_MARKS = 1_000
MOST_NOTICES = 5_000
#: What is shaded, and what it is called.
BANDS = {State.PENDING: "#D9A520", State.FIRING: "#D0453F", State.RECOVERING: "#3C8AC4", State.NO_DATA: "#8A8A8A"}
LIMIT, WARN = "#D0453F", "#B07C00"
Stretch = tuple[State, datetime, datetime]


def verdict(made: Simulation) -> None:
    """The counts, as cards."""
    totals = made.totals
    firing = totals.seconds.get(State.FIRING, 0.0)
    silent = sum(totals.silent.values())
    figures = (
        ("Incidents", count(totals.incidents), f"{count(totals.evaluations)} evaluations"),
        ("Time firing", _elapsed(firing), f"longest {_elapsed(totals.longest_incident_s)}"),
        ("Notices sent", count(totals.notifications), f"{count(silent)} kept silent"),
        ("Groups", count(totals.groups), "alerts it could have"),
    )
    cards = "".join(
        f'<div class="card" role="group" aria-label="{name}"><h6>{name}</h6><strong>{value}</strong><p>{note}</p></div>'
        for name, value, note in figures
    )
    st.html(f'<div class="cards">{cards}</div>')


def summary(made: Simulation) -> str:
    """What was told and what not, in one line: notices, digests, and what was kept silent by reason."""
    totals = made.totals
    told = sum(totals.digests.values())
    parts = [_counted(totals.notifications, "notice"), _counted(told, "digest")]
    if totals.silent:
        reasons = ", ".join(f"{count(n)} {why.replace('_', ' ')}" for why, n in sorted(totals.silent.items()))
        parts.append(f"{count(sum(totals.silent.values()))} kept silent ({reasons})")
    if totals.held:
        parts.append(f"{count(totals.held)} held back still")
    busiest = max(made.noise, key=lambda each: each.notices + each.digests, default=None)
    if busiest and busiest.notices + busiest.digests > 1:
        parts.append(f"at most {count(busiest.notices + busiest.digests)} a day, to {plain(busiest.channel)}")
    return "; ".join(parts) + "."


def _counted(number: int, name: str) -> str:
    return f"{count(number)} {name}{'' if number == 1 else 's'}"


def measured(made: Simulation) -> bool:
    """Whether there is any value to draw."""
    return bool(made.values["value"].is_not_null().any())


def figure(rule: Rule, made: Simulation, tz: str, happened: Record | None = None) -> go.Figure:
    """A panel a condition with its values and threshold, bands where it fired, marks where somebody was told.

    Bands and marks are those of the simulation, or what `happened`.
    """
    shown_of = happened or _replayed(made)
    placed = rule.placed
    drawn = make_subplots(
        rows=len(placed),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.32 / max(len(placed), 2),
        subplot_titles=[_title(c) for _, c in placed],
    )
    drawn.update_annotations(x=0, xanchor="left", font={"size": 12})
    groups = _groups(made)
    for row, (path, condition) in enumerate(placed, start=1):
        _panel(drawn, _Panel(row, made.values.filter(pl.col("condition") == path), condition, groups), tz)
    shown = stretches(shown_of.bands)
    drawn.add_traces([_key(state) for state in BANDS if any(state is each for each, _, _ in shown)])
    told = shown_of.marks[:: 1 + len(shown_of.marks) // MOST_MARKS]
    if told:
        drawn.add_trace(_marks(told, made, rule, tz), row=1, col=1)
    end = max([made.grid.end, *(at for _, _, at in shown), *(mark.at for mark in told)])
    drawn.update_xaxes(type="date", range=[stamp(made.grid.start, tz), stamp(end, tz)])
    drawn.update_layout(shapes=[*drawn.layout.shapes, *(_shape(each, tz) for each in shown)])
    height = 320 if len(placed) == 1 else 170 * len(placed) + 80
    dressed(drawn, height, legend=len(groups) > 1 or bool(told) or bool(shown))
    return drawn.update_layout(
        margin={"t": 30, "b": 60, "r": 12 + 7 * max(len(_limit(c, at)) for _, c in placed for at, _ in _thresholds(c))}
    )


def _replayed(made: Simulation) -> Record:
    marks = (Mark(each.time, f"{each.channel}: {each.reason.value}") for each in made.notices if each.reason.notifies)
    return Record(made.bands, tuple(marks))


def notices(made: Simulation, tz: str) -> None:
    """Every notice, sent or kept silent, with its reason; newest first."""
    rows = [
        {
            "Time": stamp(notice.time, tz),
            "Alert": ", ".join(f"{name}={value}" for name, value in notice.labels.items()) or "all",
            "Channel": notice.channel,
            "Sent": "sent" if notice.reason.notifies else "silent",
            "Reason": _reason(notice, tz),
        }
        for notice in reversed(made.notices[-MOST_NOTICES:])
    ]
    if rows:
        st.dataframe(pl.DataFrame(rows), key="simulated-notices", hide_index=True, alt="Notices of the simulation")
    elif made.totals.incidents:
        st.caption("It would have fired, but nobody would have been told: the rule names no channel.")
    else:
        st.caption("It would not have fired, so nobody would have been told anything.")


def _reason(notice: SimulatedNotice, tz: str) -> str:
    why = notice.reason.value.replace("_", " ")
    return f"{why}, told with others {stamp(notice.told_at, tz)}" if notice.told_at else why


def stretches(bands: Iterable[Band]) -> list[Stretch]:
    """When any group was in a state worth a colour, overlaps joined; the longest where there are too many to draw."""
    joined = [each for state in BANDS for each in _joined(state, (band for band in bands if band.state is state))]
    return sorted(joined, key=lambda each: each[1] - each[2])[:MOST_BANDS]


def _joined(state: State, bands: Iterable[Band]) -> Iterator[Stretch]:
    start = end = None
    for band in sorted(bands, key=lambda band: band.start):
        if start is None or end is None or band.start > end:
            if start is not None and end is not None:
                yield state, start, end
            start, end = band.start, band.end
        else:
            end = max(end, band.end)
    if start is not None and end is not None:
        yield state, start, end


@dataclass(frozen=True, slots=True)
class _Panel:
    """One condition's place in the figure, its values and the groups to draw."""

    row: int
    values: pl.DataFrame
    condition: Condition
    groups: Sequence[str]


def _panel(drawn: go.Figure, panel: _Panel, tz: str) -> None:
    condition, groups, row = panel.condition, panel.groups, panel.row
    unit, drawn_in = _scaled(condition, panel.values)
    shades = colors.colors("model", groups) if groups[1:] else [colors.ACCENT] * len(groups)
    for group, shade in zip(groups, shades, strict=True):
        part = panel.values.filter(pl.col("group") == group)
        drawn.add_trace(_line(part, group, shade, tz, drawn_in, named=row == 1 and bool(groups[1:])), row=row, col=1)
    for threshold, shade in _thresholds(condition):
        level = threshold / drawn_in.divisor
        drawn.add_hline(y=level, line={"color": shade, "dash": "dash", "width": 1.4}, row=row, col=1)
        # beside the panel, where no curve can cross it
        drawn.add_annotation(
            text=escape(_limit(condition, threshold)), font={"size": 11, "color": shade}, showarrow=False,
            x=1, xref="x domain", xanchor="left", y=level, yanchor="middle", row=row, col=1,
        )  # fmt: skip
    drawn.update_yaxes(value_axis(unit, drawn_in, titled=False) | {"nticks": 5}, row=row, col=1)


def _scaled(condition: Condition, values: pl.DataFrame) -> tuple[Metric, Scale]:
    """What the panel shows, and in which steps: those of the largest value or threshold."""
    unit = _measure(condition)
    return unit, scale(unit, pl.concat([values["value"], pl.Series("value", [at for at, _ in _thresholds(condition)])]))


def _measure(condition: Condition) -> Metric:
    """What the panel shows: the metric, or its change, which in percent is one of no other unit."""
    percent = condition.compare is not None and condition.compare.as_ is CompareAs.PERCENT
    return metric("error_rate") if percent else metric(condition.metric)


def _thresholds(condition: Condition) -> list[tuple[float, str]]:
    """Where it fires and where it warns, with their colours."""
    return [(condition.value, LIMIT), *([(condition.warn, WARN)] if condition.warn is not None else [])]


def _limit(condition: Condition, threshold: float) -> str:
    return f"{condition.op.value} {quantity(condition, threshold)}"


def _title(condition: Condition) -> str:
    compared = " (change)" if condition.compare else ""
    return f"{metric(condition.metric).label}{compared}, {condition.window}"


def _groups(made: Simulation) -> list[str]:
    return made.values["group"].unique(maintain_order=True).to_list()[:MOST_LINES]


def _line(part: pl.DataFrame, group: str, shade: str, tz: str, drawn_in: Scale, *, named: bool) -> go.Scatter:
    x, y = points(part.sort("time"), "value", tz, drawn_in.divisor)
    return go.Scatter(
        x=x, y=y, mode="lines+markers" if lonely(y) else "lines",
        line={"color": shade, "width": 1.6}, name=_group_name(group), legendgroup=group,
        showlegend=named, hovertemplate=drawn_in.hover(),
    )  # fmt: skip


def _group_name(group: str) -> str:
    """A group's key as a legend can show it: `provider=openai, team=search`."""
    labels = orjson.loads(group) if group else {}
    return escape(", ".join(f"{name}={value}" for name, value in labels.items())) or "value"


def _key(state: State) -> go.Scatter:
    """The legend's entry for a shade."""
    return go.Scatter(
        x=[None], y=[None], mode="markers", name=state.value.replace("_", " "), hoverinfo="skip",
        marker={"symbol": "square", "size": 11, "color": BANDS[state], "opacity": 0.55},
    )  # fmt: skip


def _shape(stretch: Stretch, tz: str) -> dict[str, object]:
    state, start, end = stretch
    return {
        "type": "rect", "xref": "x", "yref": "paper", "x0": stamp(start, tz), "x1": stamp(end, tz), "y0": 0, "y1": 1,
        "fillcolor": BANDS[state], "opacity": 0.22, "line": {"width": 0}, "layer": "below",
    }  # fmt: skip


def _marks(told: Sequence[Mark], made: Simulation, rule: Rule, tz: str) -> go.Scatter:
    path, condition = rule.placed[0]
    values = made.values.filter(pl.col("condition") == path)
    top = values["value"].max()
    level = max(float(top) if isinstance(top, int | float) else 0.0, condition.value)
    level /= _scaled(condition, values)[1].divisor
    return go.Scatter(
        x=[stamp(mark.at, tz) for mark in told], y=[level] * len(told), mode="markers", name="notice sent",
        marker={"symbol": "triangle-down", "size": 9, "color": LIMIT},
        text=[escape(mark.told) for mark in told],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _elapsed(seconds: float) -> str:
    return elapsed(timedelta(seconds=seconds))
