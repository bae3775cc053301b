"""What can be done to the chosen incidents at once."""

from collections.abc import Sequence

import streamlit as st

from app import context
from data.errors import StoreError
from engine import incidents
from engine.errors import EngineError

DONE = "bulk: done"


def bar(chosen: Sequence[str]) -> None:
    """Buttons for the chosen incidents; each asks for a name and a comment first."""
    count = len(chosen)
    with st.container(horizontal=True, vertical_alignment="center", key="bulk", gap="small"):
        for label, icon, key in (("Acknowledge", "visibility", "ack"), ("Resolve", "check_circle", "resolve")):
            title = f"{label} {count}" if count else label
            if st.button(title, icon=f":material/{icon}:", disabled=not count, key=f"bulk-{key}"):
                _confirm(label, list(chosen))
        st.caption(f"{count} chosen" if count else "Choose incidents in the grid to take them on or close them.")
    if said := st.session_state.pop(DONE, ""):
        st.toast(said, icon=":material/check_circle:")


@st.dialog("Confirm")
def _confirm(label: str, chosen: list[str]) -> None:
    """Ask who and why, then do it; all of them change, or none."""
    count = f"{len(chosen)} incident{'s' if len(chosen) > 1 else ''}"
    said = (
        "stops reminders until it resolves" if label == "Acknowledge" else "closes it; if it still holds, it opens anew"
    )
    st.markdown(f"**{label} {count}.** This {said}.")
    with st.form("confirm", border=False):
        who = st.text_input("Your name", key="actor", persist_state="session")
        comment = st.text_area("Comment", key="bulk-comment", height=80)
        agreed = st.form_submit_button(f"{label} {count}", type="primary")
    if not agreed:
        return
    act = incidents.acknowledge if label == "Acknowledge" else incidents.resolve
    try:
        done = act(context.store(), chosen, by=who.strip() or "somebody", comment=comment.strip())
    except (EngineError, StoreError) as error:
        st.error(str(error))
        return
    changed = sum(one.changed for one in done)
    st.session_state[DONE] = f"{changed} of {len(done)}: {label.lower()}d."
    st.rerun()
