"""The story of one incident: what happened when, who was told, and why others were not."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from app.incident_course import Course, unit
from app.incident_record import record
from app.views import badges, chart, simulation
from app.views.alert_grid import elapsed
from app.views.format import moment, quantity
from app.views.incidents import plain
from engine.decisions import WORDS
from engine.incidents import Detail

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
    st.markdown(f"**{plain(alert['rule_name'])}** {_badges(alert)} {labels}")
    st.markdown(plain(alert["summary"]))
    st.caption(_length(alert, now, tz))
    _course(around, detail, now, tz)
    left, right = st.columns(2)
    with left:
        st.markdown("**What happened**")
        for line in _happenings(detail, around, tz):
            st.markdown(line)
        if detail.more_comments:
            st.caption(f"There are more comments; these are the first {len(detail.comments):,}.")
    with right:
        st.markdown("**Who was told**")
        if not detail.notifications:
            st.caption("The rule notifies nobody. Name a channel in it, and the next incident is told.")
        for notice in detail.notifications:
            st.markdown(_notice(notice, tz))
        if detail.more_notifications:
            st.caption(f"There are more; these are the newest {len(detail.notifications):,}.")


def _badges(alert: Mapping[str, Any]) -> str:
    words = [alert["severity"], alert["status"], *(["flapping"] if alert["flapping"] else [])]
    return " ".join(badges.text(word) for word in words)


def _length(alert: Mapping[str, Any], now: datetime, tz: str) -> str:
    opened, resolved = alert["opened_at"], alert["resolved_at"]
    given = f"Assigned to {plain(alert['assignee'])}. " if alert["assignee"] else ""
    began = f"{given}Opened {moment(opened, tz)}"
    if not resolved:
        return f"{began}, has lasted {elapsed(max(now, opened) - opened)} so far."
    by = f" by {plain(alert['resolved_by'])}" if alert["resolved_by"] else ""
    return f"{began}, over {moment(resolved, tz)}{by}, lasted {elapsed(resolved - opened)}."


def _course(around: Course | None, detail: Detail, now: datetime, tz: str) -> None:
    if around is None:
        st.caption("Its rule is gone, so what it watched cannot be drawn.")
    elif not simulation.measured(around.made):
        st.caption("There are no values to draw around it.")
    else:
        figure = simulation.figure(around.rule, around.made, tz, record(detail, now))
        alt = "The values around the incident, and over them when it fired and who was told."
        st.plotly_chart(figure, key=f"course-{detail.alert['id']}", config=chart.CONFIG, alt=alt)
        st.caption(
            "Shades and marks are the incident's record. Lines are the values then, by the ledger of today; "
            "thresholds are those of the rule as it is now."
        )


def _happenings(detail: Detail, around: Course | None, tz: str) -> list[str]:
    """Transitions and what people did and said, in order of time.

    An incident of before there were threads keeps one comment. Where two people acted it may be either's, so it stands
    by itself.
    """
    alert = detail.alert
    acts = [what for what in ("acknowledged", "resolved") if alert[f"{what}_at"] and alert[f"{what}_by"]]
    own = len({alert[f"{what}_by"] for what in acts}) == 1
    last = "" if detail.comments else plain(alert["comment"])
    lines = [(event["at"], _event(event, around, tz)) for event in detail.events]
    lines += [(each["at"], _comment(each, tz)) for each in detail.comments]
    for what in acts:
        words = last if own and what == acts[-1] else ""
        at = moment(alert[f"{what}_at"], tz, seconds=True)
        said = f"{badges.text(what)} by {plain(alert[f'{what}_by'])}" + (f": {words}" if words else "")
        lines.append((alert[f"{what}_at"], f"{said}  \n:small[:gray[{at}]]"))
    comment = [f":material/comment: {last}"] if last and not own else []
    return [line for _, line in sorted(lines, key=lambda each: each[0])] + comment


def _comment(comment: Mapping[str, Any], tz: str) -> str:
    at = moment(comment["at"], tz, seconds=True)
    return f":material/comment: {plain(comment['author'])}: {plain(comment['text'])}  \n:small[:gray[{at}]]"


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
    why = WORDS.get(notice["reason"], notice["reason"].replace("_", " "))
    tries = "".join(f"  \n:small[:gray[{_attempt(attempt, tz)}]]" for attempt in notice["attempts_made"])
    at = moment(notice["created_at"], tz, seconds=True)
    return f"{badges.text(notice['status'])} **{plain(notice['channel'])}**: {why}  \n:small[:gray[{at}]]{tries}"


def _attempt(attempt: Mapping[str, Any], tz: str) -> str:
    took = "" if attempt["duration_ms"] is None else f" in {quantity(attempt['duration_ms'], 'ms')}"
    status = f" ({attempt['status']})" if attempt["status"] else ""
    said = f": {attempt['error'] or attempt['answer']}"[:160] if attempt["error"] or attempt["answer"] else ""
    at = moment(attempt["started_at"], tz, seconds=True)
    return f"try {attempt['attempt']}, {at}: {attempt['result']}{status}{took}{plain(said)}"
