"""The form of a rule around its conditions: what it is called, watches, waits for and tells.

Every control writes into the draft at once; `engine.rule.parse` judges the whole.
"""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app.controls.scopes import Values, put, where_button
from app.controls.terms import CADENCES, TIMES, choice, time_label
from app.rule_draft import Document, Draft
from app.views import badges
from data.dimensions import OWN_DIMENSIONS
from data.metrics import DIMENSIONS, dimension
from engine.rule import NoData, Severity

GROUPINGS = tuple(each.name for each in (*DIMENSIONS, *OWN_DIMENSIONS) if each.name != "tag")
CHANNEL_FIELDS = ("notify", "warn_notify", "fallback")
NO_DATA_LABELS = {
    NoData.OK: "count as fine",
    NoData.NO_DATA: "show as no data",
    NoData.FIRING: "fire",
    NoData.KEEP: "keep the last state",
}
#: Label, field, default, choices, what none of it means, and help, of every length of time a rule has.
TIMERS: tuple[tuple[str, str, str, tuple[str, ...], str, str], ...] = (
    ("Look every", "every", "60s", CADENCES, "", "How often the rule is evaluated."),
    ("Must hold for", "for", "0s", TIMES, "fires at once", "How long it must hold before it fires."),
    ("Keep firing for", "keep_firing_for", "0s", TIMES, "ends at once", "How long it stays open after it last held."),
    ("Quiet after firing", "cooldown", "0s", TIMES, "not quiet", "No new notice of the same alert for this long."),
    ("Repeat every", "repeat", "0s", TIMES, "never", "Tell again while it fires and nobody has acknowledged it."),
)


def basics(draft: Draft) -> None:
    """Name and severity."""
    fields = draft.fields
    with st.container(horizontal=True, key="rule-basics"):
        fields["name"] = st.text_input(
            "Name", fields.get("name", ""), key=f"{draft.id}-name", placeholder="High cost on OpenAI", width=420
        )
        severities = [each.value for each in Severity]
        fields["severity"] = st.selectbox(
            "Severity",
            severities,
            index=severities.index(fields.get("severity", Severity.MEDIUM)),
            format_func=badges.label,
            key=f"{draft.id}-severity",
            width=170,
        )
        if draft.warns:
            put(fields, "warn_severity", _warn_severity(draft))


def _warn_severity(draft: Draft) -> str | None:
    """How bad a warning is; None: the next milder severity."""
    severities = [each.value for each in Severity]
    now = draft.fields.get("warn_severity")
    chosen: str | None = st.selectbox(
        "Warn severity",
        severities,
        index=severities.index(now) if now else None,
        format_func=badges.label,
        key=f"{draft.id}-warn-severity",
        placeholder="One milder",
        width=170,
    )
    return chosen


def scope(draft: Draft, values: Values) -> None:
    """What all conditions look at, and what makes one alert each."""
    fields = draft.fields
    with st.container(horizontal=True, vertical_alignment="bottom", key="rule-scope"):
        fields["group_by"] = st.multiselect(
            "One alert for each",
            GROUPINGS,
            default=list(fields.get("group_by", [])),
            format_func=lambda name: dimension(name).label,
            key=f"{draft.id}-group",
            placeholder="Nothing: one alert for all",
            width=320,
        )
        where_button("Only where", fields, f"{draft.id}-where", values)


def timing(draft: Draft) -> None:
    """How often it looks, how long it waits, and how often it may speak."""
    fields = draft.fields
    with st.grid(4, min_column_width=170, gap="small", key="rule-timing"):
        for label, name, default, options, none, help_text in TIMERS:
            now, shown = str(fields.get(name, default)), partial(time_label, none=none)
            fields[name] = choice(label, now, options, f"{draft.id}-{name}", shown, help_text=help_text)
        policies = [each.value for each in NoData]
        fields["no_data"] = st.selectbox(
            "Without data",
            policies,
            index=policies.index(fields.get("no_data", NoData.OK)),
            format_func=lambda name: NO_DATA_LABELS[NoData(name)],
            key=f"{draft.id}-no-data",
        )


def telling(draft: Draft, channels: Sequence[str]) -> None:
    """Whom it tells, and what."""
    fields = draft.fields
    known = list(dict.fromkeys([*channels, *(each for name in CHANNEL_FIELDS for each in fields.get(name, []))]))
    warned = [("Warnings go to", "warn_notify", "The same")] if draft.warns else []
    with st.container(horizontal=True, key="rule-telling"):
        for label, name, none in (("Notify", "notify", "Nobody"), *warned, ("If that fails", "fallback", "Nobody")):
            fields[name] = st.multiselect(
                label,
                known,
                default=list(fields.get(name, [])),
                key=f"{draft.id}-{name}",
                placeholder=none,
                width=320,
            )
    fields["message"] = st.text_area(
        "Message",
        fields.get("message", ""),
        key=f"{draft.id}-message",
        placeholder="What the reader should know or do. Left empty, the notice says what happened.",
        height=80,
    )


def tidy(document: Document) -> Document:
    """The document without what the form left empty."""
    return {name: value for name, value in document.items() if value not in ("", [], {}, None)}
