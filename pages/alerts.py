"""Alerts: what fires, what fired, who was told; taking it on and closing it."""

import streamlit as st

from app import context
from app.controls import alert_filters, bulk, ranges
from app.controls.span import Preset, Span
from app.views import alert_grid, incident, page
from app.views.empty import empty
from engine import incidents
from engine.errors import NotFound

MOST = 2_000
REFRESH_S = 30


@st.fragment(run_every=REFRESH_S)
def history(span: Span) -> None:
    """The grid and what belongs to it; it refreshes itself and keeps what is chosen."""
    with context.standing():
        wanted = alert_filters.picker(span)
        found = incidents.history(context.store(), wanted, limit=MOST)
        if not found:
            why = "No rule has fired in this range, or the filters leave nothing. Rules are made on the Rules page."
            empty("No incidents here", why, icon="notifications_off", key="alerts")
            return
        chosen = alert_grid.alert_grid(found, now=context.now(), tz=span.tz, key="alert-grid")
        bulk.bar(chosen)
        if len(found) == MOST:
            st.caption(f"The newest {MOST:,} are shown. Choose a shorter range to see the rest.")
        page.download("alerts", span, lambda: alert_grid.frame(found), key="alerts")
        if len(chosen) == 1:
            one(chosen[0], span.tz)


def one(alert_id: str, tz: str) -> None:
    """The story of the incident that is chosen alone."""
    try:
        incident.story(incidents.detail(context.store(), alert_id), now=context.now(), tz=tz)
    except NotFound:
        st.caption("This incident is gone.")


with context.standing():
    with page.header("Alerts"):
        asked = ranges.picker(context.now(), default=Preset.MONTH)
    history(asked)
