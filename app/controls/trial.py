"""Trying a rule on history before it is saved: a range, a threshold to slide, and what would have happened."""

import math
from datetime import datetime, timedelta

import streamlit as st

from app import context
from app.controls.condition_form import THRESHOLDS
from app.controls.zone import zone
from app.rule_draft import Draft, Leaf, draft, handle
from app.views import chart, simulation
from app.views.incidents import plain
from engine.condition import Op, milder
from engine.durations import every_spoken
from engine.history import Grid, History, load
from engine.recorded import surroundings
from engine.rule import Rule, document, parse, to_json
from engine.sentence import quantity
from engine.series import stored
from engine.simulate import Simulation, replay
from engine.surroundings import Surroundings

RANGES = {"1d": 1, "7d": 7, "30d": 30, "90d": 90}
LABELS = {"1d": "Last day", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
LONGEST = timedelta(days=90)
#: A rule that looks more often than this is simulated at some of its instants only.
FINEST = timedelta(minutes=1)
_HISTORY, _REPLAY = "trial-history", "trial-replay"
EMPTY = ":material/search_off:"
#: What must be equal for a history that was read before to serve again; thresholds and timers may differ.
_READ = ("metric", "window", "compare", "where")


@st.fragment
def trial(made: Draft, rule: Rule) -> None:
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
            asked = st.button("Simulate", icon=":material/play_arrow:", key="simulate", shortcut="Ctrl+Enter")
        key = _question(made.rule_id, rule, chosen)
        if asked:
            st.session_state[_HISTORY] = (key, _read(made.rule_id, rule, RANGES[chosen]))
        known, read = st.session_state.get(_HISTORY, (None, None))
        if known != key or read is None:
            st.caption("Press Simulate to replay the rule over this range.")
            return
        _show(_slid(made, rule), *read)


def _show(rule: Rule, history: History, around: Surroundings) -> None:
    made = _replayed(rule, history, around)
    tz = zone()
    simulation.verdict(made)
    st.caption(simulation.summary(made) + coarser(rule, history.grid))
    if not simulation.measured(made):
        st.info("No request in this range is what the rule looks at, so there is nothing to draw.", icon=EMPTY)
        return
    fired = f"{made.totals.incidents} time{'' if made.totals.incidents == 1 else 's'}"
    alt = f"Values against thresholds; it would have fired {fired}."
    st.plotly_chart(simulation.figure(rule, made, tz), key="trial-figure", config=chart.CONFIG, alt=alt)
    with st.expander("Notices", key="trial-notices"):
        simulation.notices(made, tz)


def _replayed(rule: Rule, history: History, around: Surroundings) -> Simulation:
    """The replay, kept while rule and history stay: the page is drawn anew with every click."""
    key = (to_json(rule), id(history))
    if st.session_state.get(_REPLAY, (None, None))[0] != key:
        st.session_state[_REPLAY] = (key, replay(rule, history, around))
    made: Simulation = st.session_state[_REPLAY][1]
    return made


def _read(rule_id: str, rule: Rule, days: int) -> tuple[History, Surroundings]:
    """What the rule would have looked at, and who was silenced and what channels take."""
    now = context.now().replace(second=0, microsecond=0)
    grid = instants(rule, now - timedelta(days=days), now)
    with st.spinner("Replaying history …"):
        store = context.store()
        around = surroundings(store, rule, grid.start, now, rule_id=rule_id)
        return load(rule, stored(store), grid), around


def instants(rule: Rule, start: datetime, end: datetime) -> Grid:
    """Those at which the worker would have looked; of a rule that looks more often than `FINEST`, some of those."""
    return Grid.full(start, end, rule.every * max(1, -(-FINEST // rule.every)))


def coarser(rule: Rule, grid: Grid) -> str:
    """That the simulation looks less often than the rule would, and what that means; '' where it does not."""
    if grid.step <= rule.every:
        return ""
    looks, would = every_spoken(grid.step), every_spoken(rule.every)
    return f" Simulated {looks}, where the rule looks {would}: what is shorter may be missing."


def _question(rule_id: str, rule: Rule, chosen: str) -> str:
    read = [[getattr(condition, name) for name in _READ] for condition in rule.conditions]
    return repr((chosen, rule_id, rule.name, read, rule.where, rule.group_by, rule.delay, rule.every, rule.tz))


def _slid(made: Draft, rule: Rule) -> Rule:
    """The rule with the first condition's threshold where the slider stands."""
    first = rule.conditions[0]
    low, high, step = reach(first.value)
    with st.container(horizontal=True, vertical_alignment="bottom", key="trial-slide"):
        value = st.slider(
            f"Another threshold for the first condition (the form says {plain(quantity(first, first.value))})",
            low,
            high,
            first.value,
            step,
            format="%g",
            key=f"trial-threshold-{first.value:g}",
        )
        if st.button("Use it", key="use-threshold", disabled=value == first.value, help="Put it into the form."):
            take_threshold(made, value)
            st.rerun()
    return rule if value == first.value else with_first(rule, value)


def take_threshold(made: Draft, value: float) -> None:
    """Put the value into the draft's first condition; a recovery beyond it is dropped."""
    first = next(made.root.leaves())
    _put(first, value)
    for name in ("value", *THRESHOLDS):
        st.session_state.pop(f"{first.id}-{name}", None)
    first.id = handle()


def _put(leaf: Leaf, value: float) -> None:
    """Another threshold: its recovery is dropped, and a warning that would not come before it any more."""
    said = leaf.document
    said["value"] = value
    said.pop("recovery", None)
    if said.get("warn") is not None and not milder(Op(said["op"]), said["warn"], value):
        said.pop("warn")
        said.pop("warn_recovery", None)


def reach(value: float) -> tuple[float, float, float]:
    """From where to where a slider goes around a threshold, and its step: zero to three times it, the same sign."""
    far = 3 * value if value else 100.0
    step = 10.0 ** (math.floor(math.log10(abs(far))) - 2)
    far = round(far / step) * step
    return min(far, 0.0), max(far, 0.0), step


def with_first(rule: Rule, value: float) -> Rule:
    """The rule with another threshold in its first condition."""
    made = draft(document(rule))
    _put(next(made.root.leaves()), value)
    return parse(made.document())
