"""Alerts: what fires, what fired, who was told; taking it on and closing it."""

from datetime import timedelta
from pathlib import Path

import streamlit as st

from app import context
from app.controls import alert_filters, alert_link, bulk, ranges
from app.controls.span import Preset, Span
from app.incident_course import course
from app.views import alert_grid, incident, page
from app.views.empty import empty
from data.queries.alerts import RESOLVED
from engine import incidents
from engine.errors import NotFound

MOST = 2_000
RULES = Path(__file__).with_name("rules.py")
REFRESH_S = 30


@st.fragment(run_every=timedelta(seconds=REFRESH_S))
def history(span: Span) -> None:
    """The grid and what belongs to it; it refreshes itself and keeps what is chosen."""
    with context.standing():
        wanted = alert_filters.picker(span)
        found = incidents.history(context.store(), wanted, limit=MOST)
        chosen: list[str] = []
        if found:
            above = st.container(key="alert-actions")
            chosen = alert_grid.alert_grid(found, now=context.now(), tz=span.tz, key="alert-grid")
            with above, st.container(horizontal=True, vertical_alignment="center", gap="small", key="bulk"):
                bulk.bar(chosen, [row["id"] for row in found if row["id"] in chosen and row["status"] != RESOLVED])
                with st.container(horizontal=True, width="content", key="alert-files"):
                    page.download("alerts", span, lambda: alert_grid.frame(found), key="alerts")
            if len(found) == MOST:
                st.caption(f"The newest {MOST:,} are shown. Choose a shorter range to see the rest.")
        else:
            why = "No rule has fired in this range, or the filters leave nothing. Rules are made on the Rules page."
            empty("No incidents here", why, icon="notifications_off", key="alerts")
        if told := alert_link.opened(chosen):
            one(told, span.tz, linked=not chosen)


def one(alert_id: str, tz: str, *, linked: bool) -> None:
    """The story of one incident; one that a link opened can be put away."""
    with st.container(border=True, key="section-incident", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", key="head-incident"):
            st.markdown("**Incident**", width="stretch")
            if linked:
                st.button(
                    "Close", icon=":material/close:", key="close-incident", on_click=alert_link.close, type="tertiary"
                )
        try:
            detail = incidents.detail(context.store(), alert_id)
        except NotFound:
            st.caption("There is no such incident; it may be older than what is kept.")
            return
        alert, now = detail.alert, context.now()
        labels, minute = tuple(sorted(alert["labels"].items())), now.replace(second=0, microsecond=0)
        times = alert["opened_at"], alert["resolved_at"], minute
        around = context.fresh(course, alert["rule_id"], labels, times)
        if around is not None:
            st.page_link(RULES, label="The rule", icon=":material/rule:", query_params={"rule": alert["rule_id"]})
        incident.story(detail, around, now=now, tz=tz)


with context.standing():
    with page.header("Alerts"):
        asked = ranges.picker(context.now(), default=Preset.MONTH)
    history(asked)
