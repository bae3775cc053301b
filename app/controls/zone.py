"""The viewer's time zone: chosen once, used everywhere."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import streamlit as st

from app.controls import link

KEY = "tz"


def picker() -> str:
    """Draw the choice of zone and return its name; the browser's own zone unless another was chosen."""
    own = browser_zone()
    names = [own, *(name for name in zones() if name != own)]
    link.one(KEY, names, own)
    chosen = st.selectbox(
        "Time zone", names, key=KEY, persist_state="session", help="Every time on every page is shown in this zone."
    )
    link.publish(KEY, [chosen], [own])
    return chosen


@cache
def zones() -> tuple[str, ...]:
    """The names of all zones, sorted; read from disk once."""
    return tuple(sorted(available_timezones()))


def zone() -> str:
    """The zone in use; for pages, which run after the picker."""
    return str(st.session_state.get(KEY) or browser_zone())


def browser_zone() -> str:
    """The browser's zone, or UTC where it is unknown."""
    name = st.context.timezone or "UTC"
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError):
        return "UTC"
