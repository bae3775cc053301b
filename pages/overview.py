"""Overview: whether it runs, what it costs, who spends it, and whether anything is wrong."""

import streamlit as st

from app import context
from app.controls import ranges
from app.controls.pickers import GRAIN_LABELS
from app.controls.span import Span
from app.summary import Summary, summary
from app.views import cards, chart, incidents, page, statusline, tables
from app.views.empty import no_data
from app.views.format import moment, money
from app.views.shaping import folded
from data.metrics import dimension, metric
from data.queries import alerts, ledger

REFRESH_S = 30
COST, REQUESTS = metric("cost"), metric("requests")


@st.fragment(run_every=REFRESH_S)
def body() -> None:
    """Everything under the time range; it refreshes itself."""
    with context.standing():
        now = context.now()
        report = context.health_report()
        first, last = context.fresh(ledger.extent)
        statusline.statusline(report, last, now)
        if said := statusline.advice(report):
            st.warning(said, icon=":material/power_off:")
        incidents.firing(context.fresh(alerts.active), now)
        span = ranges.chosen(now)
        told = summary(span)
        if told.requests:
            figures(told, span)
        else:
            no_data("overview", moment(first, span.tz) if first else None)


def figures(told: Summary, span: Span) -> None:
    """Cards, cost over time, and who spends most."""
    cards.cards(told.cards)
    st.caption(f"{span.label()}, against {span.previous().label()} ({span.tz})")
    if told.unpriced:
        st.caption(f":material/money_off: {told.unpriced:,} requests have no known price; the cost is without them.")
    course, _ = folded(told.course, "model", [COST])
    per = f"per {GRAIN_LABELS[told.grain].lower()}"
    with page.section("Cost by model", key="course", note=per, span=span, data=lambda: told.course):
        figure = chart.timeline(chart.Course(course, [COST], "model", span.tz), bars=True)
        alt = f"Stacked bars: cost by model {per}, {money(told.cost)} in all, {span.label()}."
        st.plotly_chart(figure, key="course", config=chart.CONFIG, alt=alt)
    with st.grid(3, min_column_width=300, gap="small", key="ranked"):
        for name, frame in told.ranked.items():
            title = f"Top {dimension(name).label.lower()}s"
            with page.section(title, key=name, note="by cost", span=span, data=lambda frame=frame: frame):  # type: ignore[misc]
                tables.ranked(frame, name, COST, extra=REQUESTS, total=told.cost)


with context.standing():
    with page.header("Overview"):
        ranges.picker(context.now())
    body()
