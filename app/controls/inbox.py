"""The app's inbox beside every page: how much is unread, what it says, and a toast for what comes while one looks."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import streamlit as st

from app import context
from app.views import badges
from app.views.format import ago
from app.views.incidents import plain
from data.errors import DataError
from data.queries import inbox

REFRESH_S = 15
SHOWN = 15
TOASTS = 3
ALERTS = Path(__file__).resolve().parents[2] / "pages" / "alerts.py"
_SEEN = "inbox: the newest seen"


@st.fragment(run_every=timedelta(seconds=REFRESH_S))
def bell() -> None:
    """Draw the button with what is behind it; it refreshes itself. Without a store there is none: the page says why."""
    try:
        store = context.store()
        unread, rows = inbox.unread(store), inbox.messages(store, limit=SHOWN).to_dicts()
    except DataError:
        return
    _announce(rows)
    sign = f" :red-badge[{unread}]" if unread else ""
    with st.popover(f"Inbox{sign}", icon=":material/notifications:", key="inbox", width="stretch"):
        if not rows:
            st.caption("Nothing has been told here yet. Rules that notify `in-app` and the system itself write here.")
        if unread:
            st.button(
                "Mark all as read", icon=":material/done_all:", key="inbox-read", on_click=_read, args=(rows[0]["id"],)
            )
        for row in rows:
            _message(row)
        if len(rows) == SHOWN:
            st.caption(f"The newest {SHOWN} are shown.")


def fresh(rows: Sequence[Mapping[str, Any]], seen: str | None) -> list[Mapping[str, Any]]:
    """Those of the messages (newest first) that came after `seen`, oldest first; None: nobody has looked before."""
    return [] if seen is None else [row for row in reversed(rows) if row["id"] > seen and row["read_at"] is None]


def _announce(rows: Sequence[Mapping[str, Any]]) -> None:
    told = fresh(rows, st.session_state.get(_SEEN))
    for row in told[-TOASTS:]:
        looks = badges.sign(_word(row))
        st.toast(plain(row["title"]), icon=f":material/{looks.icon}:", duration="long")
    st.session_state[_SEEN] = max([row["id"] for row in rows] + [st.session_state.get(_SEEN) or ""])


def _message(row: Mapping[str, Any]) -> None:
    with st.container(border=True, gap="xsmall", key=f"inbox-{row['id']}"):
        new = "" if row["read_at"] else ":red[●] "
        st.markdown(f"{new}**{plain(row['title'])}**")
        st.markdown(f"{badges.text(_word(row))} :small[:gray[{ago(row['at'], context.now())}]]")
        if row["body"]:
            st.markdown("  \n".join(plain(line) for line in row["body"].splitlines()))
        if row["alert_id"]:
            link = {"alert": row["alert_id"]}
            st.page_link(ALERTS, label="The incident", icon=":material/open_in_new:", query_params=link)


def _word(row: Mapping[str, Any]) -> str:
    """Whose sign it gets: its end's, or its severity's."""
    return "resolved" if row["status"] == "resolved" else str(row["severity"])


def _read(up_to: str) -> None:
    context.store().transact([inbox.reading(None, up_to=up_to)])
