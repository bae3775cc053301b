"""The time range control: presets and a custom range, in the viewer's zone and in the URL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import streamlit as st

from app.controls import link
from app.controls.span import LABELS, Preset, Span, span
from app.controls.zone import zone

KEY, FROM, TO = "range", "from", "to"


def picker(now: datetime, *, default: Preset = Preset.WEEK) -> Span:
    """Draw the control and return the range it says at `now` (aware UTC)."""
    names = [preset.value for preset in Preset]
    link.one(KEY, names, default.value)
    picked = st.segmented_control(
        "Time range",
        names,
        required=True,
        format_func=lambda value: LABELS[Preset(value)],
        key=KEY,
        persist_state="session",
        label_visibility="collapsed",
    )
    preset = Preset(picked or default)
    link.publish(KEY, [preset.value], [default.value])
    if preset is Preset.CUSTOM:
        _draw_instants(now)
    else:
        link.publish(FROM, [])
        link.publish(TO, [])
    return chosen(now, default=default)


def chosen(now: datetime, *, default: Preset = Preset.WEEK) -> Span:
    """The range that the control says at `now`; for parts of a page that refresh by themselves."""
    state = st.session_state
    return span(Preset(state.get(KEY) or default), now, zone(), begin=state.get(FROM), until=state.get(TO))


def _draw_instants(now: datetime) -> None:
    """Two naive instants on the viewer's clock."""
    local = now.astimezone(ZoneInfo(zone())).replace(tzinfo=None, second=0, microsecond=0)
    today = local.replace(hour=0, minute=0)
    with st.container(horizontal=True, gap="small", key="custom-range", width="content"):
        begin = _instant("From", FROM, today - timedelta(days=6))
        until = _instant("To", TO, local)
    if begin and until and until <= begin:
        st.caption(":material/info: The end is before the start; showing the range between the two.")


def _instant(label: str, key: str, default: datetime) -> datetime | None:
    link.adopt(key, default, _read)
    value: datetime | None = st.datetime_input(label, key=key, persist_state="session", format="YYYY-MM-DD", width=210)
    link.publish(key, [value.isoformat(timespec="minutes")] if value else [])
    return value


def _read(said: Sequence[str]) -> datetime | None:
    try:
        return datetime.fromisoformat(said[-1]).replace(tzinfo=None)
    except ValueError:
        return None
