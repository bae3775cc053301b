"""Key figures: value, change against the range before, and the course as a sparkline."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

import streamlit as st

from app.views import format as form
from app.views.colors import ACCENT
from data.metrics import Metric

FLAT = 0.05  # a change below this percentage is shown as none
WIDTH, HEIGHT = 160.0, 36.0  # of the sparkline's own coordinates
MOST_POINTS = 90
_PEN = f'fill="none" stroke="{ACCENT}" stroke-width="1.6" stroke-linejoin="round" vector-effect="non-scaling-stroke"'


@dataclass(frozen=True, slots=True)
class Card:
    """One figure: the metric, its value now and before (None: nothing there) and its course, oldest first."""

    metric: Metric
    now: float | Decimal | None
    before: float | Decimal | None
    course: Sequence[float | Decimal | None]


def cards(figures: Sequence[Card]) -> None:
    """Draw the figures in a row that wraps."""
    st.html(f'<div class="cards">{"".join(_card(figure) for figure in figures)}</div>')


def sparkline(course: Sequence[float | Decimal | None]) -> str:
    """A picture (HTML) of the course from zero up; holes stay holes. '' where there is nothing to draw."""
    values = [None if value is None else float(value) for value in _thinned(course)]
    known = [value for value in values if value is not None]
    if len(values) < 2 or not known or max(known) <= 0:
        return ""
    step, top = WIDTH / (len(values) - 1), max(known)
    lines = [[(index * step, HEIGHT - 2 - (HEIGHT - 4) * value / top) for index, value in run] for run in _runs(values)]
    drawn = "".join(_stroke(line) for line in lines)
    box = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}" height="{HEIGHT:g}" preserveAspectRatio="none"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{drawn}</svg>'
    # as an image, because inline SVG is taken out of the app's HTML
    return f'<img alt="" src="data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}">'


def _card(figure: Card) -> str:
    metric, moved = figure.metric, form.change(figure.now, figure.before)
    exact = form.quantity(figure.now, metric.unit)
    told = f"{metric.definition} {exact} in this range, {form.quantity(figure.before, metric.unit)} in the one before."
    return (
        f'<div class="card" role="group" aria-label="{escape(metric.label)}" title="{escape(told)}">'
        f"<h6>{escape(metric.label)}</h6>"
        f"<strong>{escape(form.quantity(figure.now, metric.unit, short=True))}</strong>"
        f"<p>{_change(moved, metric.better)}{_before(figure)}</p>{sparkline(figure.course)}</div>"
    )


def _change(moved: float | None, better: str | None) -> str:
    """The change with an arrow; green or red only where the metric has a better direction."""
    if moved is None:
        return ""
    if abs(moved) < FLAT:
        return '<span class="change">no change</span>'
    mood = "" if better is None else " good" if (moved < 0) == (better == "lower") else " bad"
    return f'<span class="change{mood}">{"▲" if moved > 0 else "▼"} {form.signed_percent(moved).lstrip("+-")}</span>'


def _before(figure: Card) -> str:
    value = form.quantity(figure.before, figure.metric.unit, short=True)
    return f" from {escape(value)}" if figure.before else " nothing before"


def _stroke(line: Sequence[tuple[float, float]]) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
    area = f"{line[0][0]:.1f},{HEIGHT:g} {points} {line[-1][0]:.1f},{HEIGHT:g}"
    return f'<polygon points="{area}" fill="{ACCENT}" opacity="0.1"/><polyline points="{points}" {_PEN}/>'


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches between holes, each value with its place."""
    runs: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index, value))
    return [run for run in runs if run]


def _thinned(course: Sequence[float | Decimal | None]) -> Sequence[float | Decimal | None]:
    """At most `MOST_POINTS` values: the largest of each stretch, so that no spike is lost."""
    size = -(-len(course) // MOST_POINTS)
    if size <= 1:
        return course
    parts = [[value for value in course[at : at + size] if value is not None] for at in range(0, len(course), size)]
    return [max(part, default=None) for part in parts]
