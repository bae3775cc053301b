"""The story of one incident: what happened when, who was told, and why others were not."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from app.incident_course import Course, unit
from app.views import badges, chart, simulation
from app.views.alert_grid import elapsed
from app.views.format import moment, quantity
from app.views.incidents import plain
from engine.incidents import Detail

REASONS = {
    "first": "first notice of the incident",
    "new_groups": "more groups began to fire",
    "resolved": "the incident is over",
    "some_resolved": "some groups recovered",
    "repeat": "reminder, nobody had acknowledged it",
    "escalation": "escalation",
    "fallback": "stands in for a channel that failed",
    "cooldown": "quiet time after the last notice",
    "silenced": "a silence covers it",
    "inactive_hours": "outside the rule's active hours",
    "acknowledged": "somebody had taken it on",
    "rate_limited": "too many notices",
    "nothing_new": "nothing new to say",
}
MOVES = {
    "condition": "",
    "missing_group": "its group is gone",
    "no_data": "there was no data",
    "error": "the evaluation failed",
    "updated": "the rule was edited",
    "paused": "the rule was paused",
    "deleted": "the rule was deleted",
    "restored": "the worker came back",
    "by_hand": "closed by hand",
}


def story(detail: Detail, around: Course | None, *, now: datetime, tz: str) -> None:
    """One incident from top to bottom; `around` is what its rule watched, None: the rule is gone."""
    alert = detail.alert
    labels = " ".join(f":gray-badge[{plain(f'{name}: {value}')}]" for name, value in alert["labels"].items())
    st.markdown(
        f"**{plain(alert['rule_name'])}** {badges.text(alert['severity'])} {badges.text(alert['status'])} {labels}"
    )
    st.markdown(plain(alert["summary"]))
    lasted = elapsed((alert["resolved_at"] or now) - alert["opened_at"])
    ended = f", over {moment(alert['resolved_at'], tz)}" if alert["resolved_at"] else ""
    by = f" by {plain(alert['resolved_by'])}" if alert["resolved_at"] and alert["resolved_by"] else ""
    st.caption(f"Opened {moment(alert['opened_at'], tz)}{ended}{by}, lasted {lasted}.")
    if alert["acknowledged_by"] and alert["acknowledged_at"]:
        st.caption(f"Taken on by {plain(alert['acknowledged_by'])} {moment(alert['acknowledged_at'], tz)}.")
    if alert["comment"]:
        st.info(plain(alert["comment"]), icon=":material/comment:")
    _course(around, alert["id"], tz)
    left, right = st.columns(2)
    with left:
        st.markdown("**What happened**")
        for event in detail.events:
            st.markdown(_event(event, around, tz))
    with right:
        st.markdown("**Who was told**")
        if not detail.notifications:
            st.caption("The rule notifies nobody. Name a channel in it, and the next incident is told.")
        for notice in detail.notifications:
            st.markdown(_notice(notice, tz))


def _course(around: Course | None, key: str, tz: str) -> None:
    if around is None:
        st.caption("Its rule is gone, so what it watched cannot be drawn.")
    elif not simulation.measured(around.made):
        st.caption("There are no values to draw around it.")
    else:
        figure = simulation.figure(around.rule, around.made, tz)
        alt = "The watched values around the incident, against the thresholds of the rule as it is now."
        st.plotly_chart(figure, key=f"course-{key}", config=chart.CONFIG, alt=alt)


def _event(event: Mapping[str, Any], around: Course | None, tz: str) -> str:
    at = moment(event["at"], tz, seconds=True)
    why = MOVES.get(event["reason"], event["reason"].replace("_", " "))
    told = " ".join(part for part in (_measured(event, around), f"({why})" if why else "") if part)
    return f"{badges.text(event['to_state'])} {plain(told)}  \n:small[:gray[{at}]]"


def _measured(event: Mapping[str, Any], around: Course | None) -> str:
    """`$12.40 against $10.00`; '' without a value."""
    if event["value"] is None:
        return ""
    said = unit(around.rule if around else None, event["threshold"])
    limit = "" if event["threshold"] is None else f" against {quantity(event['threshold'], said)}"
    return f"{quantity(event['value'], said)}{limit}"


def _notice(notice: Mapping[str, Any], tz: str) -> str:
    why = REASONS.get(notice["reason"], notice["reason"].replace("_", " "))
    tries = "".join(f"  \n:small[:gray[{_attempt(attempt, tz)}]]" for attempt in notice["attempts_made"])
    at = moment(notice["created_at"], tz, seconds=True)
    return f"{badges.text(notice['status'])} **{plain(notice['channel'])}**: {why}  \n:small[:gray[{at}]]{tries}"


def _attempt(attempt: Mapping[str, Any], tz: str) -> str:
    took = "" if attempt["duration_ms"] is None else f" in {quantity(attempt['duration_ms'], 'ms')}"
    status = f" ({attempt['status']})" if attempt["status"] else ""
    said = f": {attempt['error'] or attempt['answer']}"[:160] if attempt["error"] or attempt["answer"] else ""
    at = moment(attempt["started_at"], tz, seconds=True)
    return f"try {attempt['attempt']}, {at}: {attempt['result']}{status}{took}{plain(said)}"
