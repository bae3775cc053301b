"""The list of rules: state, health, what each says, and what can be done with it."""

from collections.abc import Callable, Sequence
from datetime import datetime

import streamlit as st

from app.views import badges
from app.views.format import ago
from app.views.incidents import plain
from engine.rules import Stored

Act = Callable[[Stored], None]


def rule_list(found: Sequence[Stored], now: datetime, *, edit: Act, toggle: Act, delete: Act) -> None:
    """A frame a rule, those that fire first."""
    order = {"firing": 0, "recovering": 1, "pending": 2, "error": 3, "no_data": 4}
    for rule in sorted(found, key=lambda one: (order.get(one.state, 9), one.name.lower())):
        with st.container(border=True, key=f"rule-{rule.id}", gap="xsmall"):
            with st.container(horizontal=True, vertical_alignment="center", key=f"rule-head-{rule.id}"):
                words = f"{badges.text(rule.severity)} {badges.text(standing(rule))}"
                st.markdown(f"**{plain(rule.name)}** {words}", width="stretch")
                st.button(
                    "Edit",
                    key=f"edit-{rule.id}",
                    icon=":material/edit:",
                    on_click=edit,
                    args=(rule,),
                    type="tertiary",
                    disabled=bool(rule.fault or rule.provisioned_from),
                    help=_provided(rule),
                )
                st.button(
                    "Pause" if rule.enabled else "Resume",
                    key=f"toggle-{rule.id}",
                    icon=":material/pause:" if rule.enabled else ":material/play_arrow:",
                    on_click=toggle,
                    args=(rule,),
                    type="tertiary",
                    disabled=bool(rule.provisioned_from),
                    help=_provided(rule),
                )
                with st.popover(
                    "",
                    icon=":material/delete:",
                    key=f"delete-{rule.id}",
                    help=_provided(rule) or "Delete this rule",
                    type="tertiary",
                    disabled=bool(rule.provisioned_from),
                ):
                    st.markdown("Delete this rule? Its open incidents end; their history stays.")
                    st.button("Delete", key=f"sure-{rule.id}", on_click=delete, args=(rule,), type="primary")
            if rule.fault:
                st.error(f"This rule cannot be read any more:\n\n{plain(rule.fault)}")
            else:
                st.markdown(plain(rule.sentence))
            st.caption(_health(rule, now))


def _provided(rule: Stored) -> str | None:
    return f"Change it in its file, {plain(rule.provisioned_from)}" if rule.provisioned_from else None


def standing(rule: Stored) -> str:
    """The word for how the rule stands; nothing is known of one that was never evaluated."""
    if not rule.enabled:
        return "paused"
    return rule.state if rule.evaluated_at else "not_evaluated"


def _health(rule: Stored, now: datetime) -> str:
    if not rule.enabled:
        return "Paused: it is not evaluated."
    if rule.evaluated_at is None:
        return "Not evaluated yet; the worker does that within seconds."
    provided = f" From the file {plain(rule.provisioned_from)}." if rule.provisioned_from else ""
    health = f", {rule.health}: {plain(rule.health_message)}" if rule.health not in {"ok", ""} else ""
    return f"Evaluated {ago(rule.evaluated_at, now)}{health}. Version {rule.version}.{provided}"
