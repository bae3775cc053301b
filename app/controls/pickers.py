"""What to measure, by what, how fine, and how to draw it; every choice is in the URL."""

from collections.abc import Sequence

import streamlit as st

from app.controls import link
from app.controls.span import Span
from data.metrics import RULE_METRICS, Metric, dimensions_of, metric
from data.periods import Grain

MOST_METRICS = 3
EXPLORED = tuple(each.name for each in RULE_METRICS if each.over_time)
MOST_BUCKETS = 3_000
NO_BREAKDOWN = "none"
AUTO, TOTAL = "auto", "total"
CHARTS = {
    "lines": ":material/show_chart: Lines",
    "bars": ":material/bar_chart: Bars",
    "table": ":material/table: Table",
}

SECONDS = {
    Grain.MINUTE: 60,
    Grain.FIVE_MINUTES: 300,
    Grain.QUARTER: 900,
    Grain.HOUR: 3_600,
    Grain.DAY: 86_400,
    Grain.WEEK: 604_800,
    Grain.MONTH: 2_592_000,
}
GRAIN_LABELS = {
    AUTO: "Automatic",
    TOTAL: "Whole range",
    Grain.MINUTE: "Minute",
    Grain.FIVE_MINUTES: "5 minutes",
    Grain.QUARTER: "15 minutes",
    Grain.HOUR: "Hour",
    Grain.DAY: "Day",
    Grain.WEEK: "Week",
    Grain.MONTH: "Month",
}


def chosen_metrics(*, default: Sequence[str] = ("cost",), key: str = "metrics") -> tuple[str, ...]:
    """What `metrics_picker` will show, for what is drawn before it.

    Metrics about different things are not asked for together: the one chosen last says what the others are about.
    """
    link.many(key, default, options=EXPLORED, most=MOST_METRICS)
    chosen = st.session_state[key] or list(default)
    alike = [name for name in chosen if metric(name).dimensions == metric(chosen[-1]).dimensions]
    if alike != chosen:
        st.session_state[key] = alike
    return tuple(alike)


def metrics_picker(*, default: Sequence[str] = ("cost",), key: str = "metrics") -> tuple[str, ...]:
    """Up to three metrics by name; the default where none is chosen. Drawn after `chosen_metrics`."""
    chosen = st.multiselect(
        "Metrics",
        EXPLORED,
        max_selections=MOST_METRICS,
        format_func=lambda name: metric(name).label,
        key=key,
        persist_state="session",
        placeholder="Choose up to three",
    )
    link.publish(key, chosen, default)
    return tuple(chosen) or tuple(default)


def breakdown_picker(of: Metric, *, default: str = "model", key: str = "by") -> str:
    """One dimension of the metric, or '' for none; `default` where the metric has it, else its finest."""
    labels = {NO_BREAKDOWN: "Nothing"} | {each.name: each.label for each in dimensions_of(of) if each.name != "tag"}
    default = default if default in labels else of.dimensions[-1]
    link.one(key, labels, default)
    chosen = st.selectbox(
        "Broken down by", list(labels), format_func=labels.__getitem__, key=key, persist_state="session"
    )
    link.publish(key, [chosen], [default])
    return "" if chosen == NO_BREAKDOWN else chosen


def grain_picker(span: Span, *, key: str = "grain") -> Grain | None:
    """How fine; None for one value over the whole range. A grain too fine for the range gives way to a coarser one."""
    names = [AUTO, *(grain.value for grain in Grain), TOTAL]
    link.one(key, names, AUTO)
    chosen = st.selectbox("Per", names, format_func=GRAIN_LABELS.__getitem__, key=key, persist_state="session")
    link.publish(key, [chosen], [AUTO])
    if chosen == TOTAL:
        return None
    wanted = automatic(span) if chosen == AUTO else Grain(chosen)
    return wanted if fits(wanted, span) else next(grain for grain in SECONDS if fits(grain, span))


def chart_picker(*, key: str = "chart") -> str:
    """`lines`, `bars` or `table`."""
    link.one(key, CHARTS, "lines")
    chosen = st.segmented_control(
        "Drawn as",
        list(CHARTS),
        required=True,
        format_func=CHARTS.__getitem__,
        key=key,
        persist_state="session",
        label_visibility="collapsed",
    )
    link.publish(key, [chosen or "lines"], ["lines"])
    return chosen or "lines"


def compare_toggle(*, key: str = "compare") -> bool:
    """Whether to show the range before too."""
    link.adopt(key, default=False, parse=lambda said: said[-1] == "yes")
    chosen = st.toggle("Compare with the range before", key=key, persist_state="session")
    link.publish(key, ["yes"] if chosen else [])
    return chosen


def fits(grain: Grain, span: Span) -> bool:
    """Whether the range has few enough buckets of `grain` to be drawn."""
    return span.length.total_seconds() / SECONDS[grain] <= MOST_BUCKETS


def automatic(span: Span) -> Grain:
    """The grain that suits the range's length: some 24 to 200 buckets."""
    hours = span.length.total_seconds() / 3_600
    for limit, grain in ((3, Grain.MINUTE), (12, Grain.FIVE_MINUTES), (26, Grain.QUARTER), (24 * 8, Grain.HOUR)):
        if hours <= limit:
            return grain
    return Grain.DAY if hours <= 24 * 200 else Grain.WEEK
