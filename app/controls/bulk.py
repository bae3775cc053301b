"""What can be done to the chosen incidents at once."""

from collections.abc import Sequence

import streamlit as st

from app import context
from data.errors import StoreError
from engine import incidents
from engine.errors import EngineError

DONE, ASKED = "bulk: done", "bulk: asked"
HELP = {
    "Acknowledge": "You are on it: reminders stop until it resolves.",
    "Resolve": "It is over. Where the condition still holds, a new incident opens.",
}
_PAST = {"Acknowledge": "acknowledged", "Resolve": "resolved"}


def bar(chosen: Sequence[str], live: Sequence[str]) -> None:
    """Buttons for the chosen incidents, of which `live` are not over; each asks for a name and a comment first."""
    count = len(live)
    for label, icon, key in (("Acknowledge", "visibility", "ack"), ("Resolve", "check_circle", "resolve")):
        st.button(
            f"{label} {count}" if count else label,
            icon=f":material/{icon}:",
            disabled=not count,
            key=f"bulk-{key}",
            help=HELP[label],
            on_click=_ask,
            args=(label, list(live)),
        )
    st.caption(_hint(len(chosen), count), width="stretch")
    # asked for in the session, because the page's own refresh would close a dialog that is not drawn again
    if ASKED in st.session_state:
        _confirm(*st.session_state[ASKED])
    if said := st.session_state.pop(DONE, ""):
        st.toast(said, icon=":material/check_circle:")


def _hint(chosen: int, live: int) -> str:
    if not chosen:
        return "Tick incidents to take them on or close them."
    over = chosen - live
    return "" if not over else f"{over} of the chosen {'is' if over == 1 else 'are'} over already."


def _ask(label: str, chosen: list[str]) -> None:
    st.session_state[ASKED] = (label, chosen)


def _dismiss() -> None:
    st.session_state.pop(ASKED, None)


def _confirm(label: str, chosen: list[str]) -> None:
    """Ask who and why, then do it; all of them change, or none."""
    count = f"{len(chosen)} incident{'s' if len(chosen) != 1 else ''}"
    st.dialog(f"{label} {count}", on_dismiss=_dismiss)(_asked)(label, chosen, count)


def _asked(label: str, chosen: list[str], count: str) -> None:
    st.markdown(HELP[label])
    with st.form("confirm", border=False):
        who = st.text_input("Your name", key="actor", persist_state="session")
        comment = st.text_area("Comment", key="bulk-comment", height=80)
        with st.container(horizontal=True, key="confirm-buttons"):
            agreed = st.form_submit_button(f"{label} {count}", type="primary")
            left = st.form_submit_button("Cancel")
    if left:
        _dismiss()
        st.rerun()
    if not agreed:
        return
    act = incidents.acknowledge if label == "Acknowledge" else incidents.resolve
    try:
        done = act(context.store(), chosen, by=who.strip() or "somebody", comment=comment.strip())
    except (EngineError, StoreError) as error:
        st.error(str(error))
        return
    _dismiss()
    changed = sum(one.changed for one in done)
    before = "" if changed == len(done) else f" of {len(done)}, the others were so before"
    st.session_state[DONE] = f"{_PAST[label].capitalize()} {changed}{before}."
    st.rerun()
