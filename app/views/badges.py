"""Signs for severities and states: always a word and an icon beside the colour."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

Hue = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray"]


@dataclass(frozen=True, slots=True)
class Sign:
    """How one word looks: a Material icon and a colour of the theme."""

    icon: str
    hue: Hue


SEVERITIES = {
    "critical": Sign("emergency_home", "red"),
    "high": Sign("error", "orange"),
    "medium": Sign("warning", "yellow"),
    "low": Sign("info", "blue"),
    "info": Sign("info", "gray"),
}

STATES = {
    "normal": Sign("check_circle", "green"),
    "pending": Sign("hourglass_top", "yellow"),
    "firing": Sign("local_fire_department", "red"),
    "recovering": Sign("healing", "blue"),
    "no_data": Sign("signal_disconnected", "gray"),
    "error": Sign("error", "red"),
    "not_evaluated": Sign("hourglass_empty", "gray"),
    "flapping": Sign("swap_vert", "orange"),
    "paused": Sign("pause_circle", "gray"),
    "open": Sign("local_fire_department", "red"),
    "acknowledged": Sign("visibility", "violet"),
    "resolved": Sign("check_circle", "green"),
    "sent": Sign("check_circle", "green"),
    "failed": Sign("error", "red"),
    "bundled": Sign("stacks", "green"),
    "silent": Sign("notifications_off", "gray"),
}

UNKNOWN = Sign("help", "gray")


def sign(word: str) -> Sign:
    """The sign of a severity or state."""
    return SEVERITIES.get(word) or STATES.get(word.lower()) or UNKNOWN


def label(word: str) -> str:
    """The word as people read it: `no_data` → `No data`."""
    return word.replace("_", " ").capitalize()


def text(word: str) -> str:
    """A badge to put into any Markdown: icon, word and colour."""
    looks = sign(word)
    return f":{looks.hue}-badge[:material/{looks.icon}: {label(word)}]"


def badge(word: str, *, help_text: str | None = None) -> None:
    """Draw the badge of a severity or state."""
    looks = sign(word)
    st.badge(label(word), icon=f":material/{looks.icon}:", color=looks.hue, help=help_text)
