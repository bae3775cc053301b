"""Trying a rule on history before it is saved: a range, a threshold to slide, and what would have happened."""

from datetime import timedelta

import streamlit as st

from app import context
from app.controls.zone import zone
from app.views import chart, simulation
from engine.history import Grid, History, load
from engine.rule import Rule, document, parse
from engine.series import stored
from engine.simulate import replay

RANGES = {"1d": 1, "7d": 7, "30d": 30, "90d": 90}
LABELS = {"1d": "Last day", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
LONGEST = timedelta(days=90)
MOST_EVALUATIONS = 150_000
_HISTORY = "trial-history"
#: What must be equal for a history that was read before to serve again; thresholds and timers may differ.
_READ = ("metric", "window", "compare", "where")


def trial(rule: Rule) -> None:
    """Simulate the rule over history; nothing is saved and nothing is sent."""
    with st.container(border=True, key="section-trial", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", key="trial-head"):
            st.markdown("**Simulate**", width="content")
            st.caption("What it would have done; nothing is saved or sent.", width="content")
            st.space("stretch")
            chosen = st.segmented_control(
                "Range",
                list(RANGES),
                default="7d",
                required=True,
                format_func=LABELS.__getitem__,
                key="trial-range",
                label_visibility="collapsed",
            )
            asked = st.button("Simulate", icon=":material/play_arrow:", key="simulate")
        key = _question(rule, chosen)
        if asked:
            st.session_state[_HISTORY] = (key, _read(rule, RANGES[chosen]))
        known, history = st.session_state.get(_HISTORY, (None, None))
        if known != key or history is None:
            st.caption("Press Simulate to replay the rule over this range.")
            return
        _show(_slid(rule), history)


def _show(rule: Rule, history: History) -> None:
    made = replay(rule, history)
    simulation.verdict(made)
    tz = zone()
    alt = f"Values against thresholds; it would have fired {made.totals.incidents} times."
    st.plotly_chart(simulation.figure(rule, made, tz), key="trial-figure", config=chart.CONFIG, alt=alt)
    with st.expander("Notices", key="trial-notices"):
        simulation.notices(made, tz)


def _read(rule: Rule, days: int) -> History:
    now = context.now().replace(second=0, microsecond=0)
    length = timedelta(days=days)
    step = max(rule.every, timedelta(minutes=1), length / MOST_EVALUATIONS)
    with st.spinner("Replaying history …"):
        return load(rule, stored(context.store()), Grid(now - length, now, step))


def _question(rule: Rule, chosen: str) -> str:
    read = [[getattr(condition, name) for name in _READ] for condition in rule.conditions]
    return repr((chosen, read, rule.where, rule.group_by, rule.delay, rule.every, rule.tz))


def _slid(rule: Rule) -> Rule:
    """The rule with the first condition's threshold where the slider stands."""
    said = rule.conditions[0].value
    top = max(abs(said) * 3, 1.0)
    value = st.slider(
        f"Try another threshold for the first condition (the form says {said:g})",
        0.0,
        top,
        min(max(said, 0.0), top),
        key=f"trial-threshold-{said:g}",
    )
    return rule if value == said else parse(_with_first(document(rule), value))


def _with_first(raw: dict[str, object], value: float) -> dict[str, object]:
    """A copy of the document whose first condition has another threshold, and no recovery beyond it."""
    placed = [raw["when"]]
    while isinstance(placed[0], dict) and "metric" not in placed[0]:
        below = next(iter(placed[0].values()))
        placed = below if isinstance(below, list) else [below]
    if isinstance(placed[0], dict):
        placed[0].pop("recovery", None)
        placed[0]["value"] = value
    return raw
