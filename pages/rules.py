"""Rules: what is watched, and making or changing a rule with a look at what it would have done."""

from collections.abc import Callable
from datetime import timedelta

import streamlit as st

from app import context
from app.controls import rule_editor
from app.views import page, rule_list
from app.views.empty import empty
from data.errors import StoreError
from engine import rules
from engine.errors import EngineError
from engine.rules import Stored

REFRESH_S = 10


def toggle(rule: Stored) -> None:
    """Switch a rule on or off."""
    attempt("Paused" if rule.enabled else "Resumed", lambda: rules.toggle(context.store(), rule.id, by="app"), rule)


def delete(rule: Stored) -> None:
    """Delete a rule as it was shown."""
    attempt("Deleted", lambda: rules.delete(context.store(), rule.id, by="app", version=rule.version), rule)


def attempt(said: str, act: Callable[[], object], rule: Stored) -> None:
    """Do it, and say that it is done or why not."""
    try:
        act()
        st.toast(f"{said} “{rule.name}”.")
    except (EngineError, StoreError) as error:
        st.toast(str(error), icon=":material/error:")


@st.fragment(run_every=timedelta(seconds=REFRESH_S))
def watched() -> None:
    """The rules with their states, which refresh themselves."""
    if rule_editor.is_open():
        st.rerun()  # the editor takes the place of the list
    with context.standing():
        found = rules.every(context.store())
        if not found:
            why = "A rule watches a number and tells you when it goes wrong. "
            empty("No rules yet", why + "Make one; try it on history before it counts.", icon="rule", key="rules")
        rule_list.rule_list(found, context.now(), edit=rule_editor.begin, toggle=toggle, delete=delete)


with context.standing():
    made = rule_editor.current()
    with page.header("Rules" if made is None else "Edit rule" if made.rule_id else "New rule"):
        if made is None:
            st.button(
                "New rule",
                icon=":material/add:",
                type="primary",
                key="new-rule",
                on_click=rule_editor.begin,
                shortcut="N",
            )
    if said := st.session_state.pop(rule_editor.SAID, ""):
        st.toast(said, icon=":material/info:")
    if made is not None:
        rule_editor.editor(made)
        st.stop()
    watched()
