"""The story of one incident: what happened when, who was told, and why others were not."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from app.views import badges
from app.views.alert_grid import elapsed
from app.views.format import moment, quantity
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


def story(detail: Detail, *, now: datetime, tz: str) -> None:
    """One incident from top to bottom."""
    alert = detail.alert
    with st.container(border=True, key="section-incident", gap="small"):
        words = f"{badges.text(alert['severity'])} {badges.text(alert['status'])}"
        st.markdown(f"### {alert['rule_name']}\n{words}")
        st.markdown(alert["summary"])
        labels = " ".join(f":gray-badge[{name}: {value}]" for name, value in alert["labels"].items())
        lasted = elapsed((alert["resolved_at"] or now) - alert["opened_at"])
        ended = f", over {moment(alert['resolved_at'], tz)}" if alert["resolved_at"] else ""
        st.caption(f"Opened {moment(alert['opened_at'], tz)}{ended}, lasted {lasted}. {labels}")
        if alert["acknowledged_by"] and alert["acknowledged_at"]:
            st.caption(f"Taken on by {alert['acknowledged_by']} {moment(alert['acknowledged_at'], tz)}.")
        if alert["comment"]:
            st.info(alert["comment"], icon=":material/comment:")
        left, right = st.columns(2)
        with left:
            st.markdown("**What happened**")
            for event in detail.events:
                st.markdown(_event(event, tz))
        with right:
            st.markdown("**Who was told**")
            if not detail.notifications:
                st.caption("The rule notifies nobody. Name a channel in it, and the next incident is told.")
            for notice in detail.notifications:
                st.markdown(_notice(notice, tz))


def _event(event: Mapping[str, Any], tz: str) -> str:
    at = moment(event["at"], tz, seconds=True)
    measured = ""
    if event["value"] is not None:
        limit = "" if event["threshold"] is None else f" against {quantity(event['threshold'], '')}"
        measured = f" at {event['value']:,.4g}{limit}"
    return f"{badges.text(event['to_state'])} {event['reason'].replace('_', ' ')}{measured}  \n:small[:gray[{at}]]"


def _notice(notice: Mapping[str, Any], tz: str) -> str:
    why = REASONS.get(notice["reason"], notice["reason"].replace("_", " "))
    tries = "".join(f"  \n:small[:gray[{_attempt(attempt, tz)}]]" for attempt in notice["attempts_made"])
    at = moment(notice["created_at"], tz, seconds=True)
    return f"{badges.text(notice['status'])} **{notice['channel']}**: {why}  \n:small[:gray[{at}]]{tries}"


def _attempt(attempt: Mapping[str, Any], tz: str) -> str:
    took = "" if attempt["duration_ms"] is None else f" in {quantity(attempt['duration_ms'], 'ms')}"
    status = f" ({attempt['status']})" if attempt["status"] else ""
    said = f": {attempt['error'] or attempt['answer']}"[:160] if attempt["error"] or attempt["answer"] else ""
    at = moment(attempt["started_at"], tz, seconds=True)
    return f"try {attempt['attempt']}, {at}: {attempt['result']}{status}{took}{_escaped(said)}"


def _escaped(text: str) -> str:
    """Text of others, so that it cannot draw links, pictures or badges."""
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]()#+!|<>:~$" else " " if sign == "\n" else sign for sign in text)
