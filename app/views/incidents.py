"""Firing alerts, as the Overview shows them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import streamlit as st

from app.views import badges
from app.views.format import ago

MOST = 5
ALERTS = Path(__file__).resolve().parents[2] / "pages" / "alerts.py"
_WORST_FIRST = {word: place for place, word in enumerate(badges.SEVERITIES)}


def firing(incidents: pl.DataFrame, now: datetime) -> None:
    """The open incidents, worst first; one quiet line when there are none.

    `incidents`: severity, status, rule_name, labels (JSON text), summary, opened_at.
    """
    if incidents.is_empty():
        st.caption(":material/check_circle: No alert is firing.")
        return
    rows = sorted(incidents.iter_rows(named=True), key=lambda row: _WORST_FIRST.get(row["severity"], len(_WORST_FIRST)))
    with st.container(border=True, key="section-firing", gap="xsmall"):
        st.markdown(f"**{len(rows)} alert{'s' if len(rows) > 1 else ''} firing**")
        for row in rows[:MOST]:
            st.markdown(_line(row, now))
        more = f"All {len(rows)} alerts" if len(rows) > MOST else "Open alerts"
        st.page_link(ALERTS, label=more, icon=":material/arrow_forward:")


def _line(row: Mapping[str, Any], now: datetime) -> str:
    seen = " " + badges.text("acknowledged") if row["status"] == "acknowledged" else ""
    group = ", ".join(orjson.loads(row["labels"]).values())
    who = f"**{plain(row['rule_name'])}**" + (f" on {plain(group)}" if group else "")
    told = f"{plain(row['summary'])} :gray[{ago(row['opened_at'], now)}]"
    return f"{badges.text(row['severity'])}{seen} {who}: {told}"


def plain(text: str) -> str:
    """Text of others made safe for Markdown: nothing in it is a link, an image, a formula or a directive."""
    return "".join(f"\\{each}" if each in "\\`*_{}[]()#+-!$:<>|~" else each for each in text.replace("\n", " "))
