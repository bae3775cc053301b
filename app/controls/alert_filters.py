"""Which incidents to show: status, severity and a search, all in the URL."""

import streamlit as st

from app.controls import link
from app.controls.span import Preset, Span
from app.views import badges
from data.queries.alerts import ACKNOWLEDGED, FIRING, RESOLVED, HistoryFilter
from engine.rule import Severity

STATUSES = (FIRING, ACKNOWLEDGED, RESOLVED)


def picker(span: Span) -> HistoryFilter:
    """Draw the filters; a preset range is open to the future, so that what fires now is in it."""
    with st.container(horizontal=True, vertical_alignment="top", key="alert-filters"):
        status = _pills("Status", "status", STATUSES)
        severity = _pills("Severity", "severity", tuple(each.value for each in Severity))
        link.adopt("q", "", lambda said: said[-1])
        text = st.text_input("Search", key="q", persist_state="session", placeholder="Rule, text, label", width=240)
        link.publish("q", [text] if text else [])
    end = span.end if span.preset is Preset.CUSTOM else None
    return HistoryFilter(status=status, severity=severity, start=span.start, end=end, text=text.strip())


def _pills(label: str, key: str, options: tuple[str, ...]) -> tuple[str, ...]:
    name = f"alert-{key}"
    link.many(name, (), options=options)
    chosen = st.pills(
        label,
        list(options),
        selection_mode="multi",
        key=name,
        persist_state="session",
        format_func=lambda word: f":material/{badges.sign(word).icon}: {badges.label(word)}",
    )
    link.publish(name, chosen)
    return tuple(chosen)
