"""Lengths of time and windows to choose from, or to type."""

from collections.abc import Callable, Sequence

import streamlit as st

from engine.durations import duration, spoken
from engine.window import spoken_window, window

WINDOWS = ("5m", "15m", "1h", "6h", "1d", "7d", "30d", "today", "this_week", "this_month")
TIMES = ("0s", "1m", "5m", "10m", "30m", "1h", "4h", "1d")
CADENCES = ("10s", "30s", "60s", "5m", "15m", "1h")


def choice(
    label: str,
    now: str,
    options: Sequence[str],
    key: str,
    shown: Callable[[str], str],
    *,
    width: int | None = None,
    help_text: str | None = None,
) -> str:
    """One of `options` or whatever was typed, starting at `now`; `shown` says how a value reads."""
    offered = [*options] if now in options else [now, *options]
    return st.selectbox(
        label,
        offered,
        index=offered.index(now),
        format_func=shown,
        key=key,
        accept_new_options=True,
        width=width or "stretch",
        help=help_text,
    )


def time_label(text: str, *, none: str = "none") -> str:
    """A length of time in words, `none` for no time at all; what is not one stays as typed."""
    try:
        return spoken(duration(text)) if duration(text) else none
    except ValueError:
        return text


def window_label(text: str) -> str:
    """A window in words; what is not one stays as typed."""
    try:
        return spoken_window(window(text)).removeprefix("over the ")
    except ValueError:
        return text
