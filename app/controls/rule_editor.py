"""Making or changing a rule: the form, what it says in words, what it would have done, and saving it."""

from datetime import timedelta

import streamlit as st

from app import context
from app.controls import condition_form, rule_form, trial
from app.controls.scopes import Values
from app.rule_draft import Draft, draft, new_draft
from app.views.incidents import plain
from data.errors import StoreError
from data.queries import ledger
from engine import channel_store, rules
from engine.errors import EngineError, NotFound, RuleError, StaleVersion
from engine.rule import Rule, parse, to_yaml
from engine.rules import Stored
from engine.sentence import sentence

_DRAFT, _LINKED = "rule-draft", "rule-linked"
_STALE = "rule-stale"
LINK = "rule"
SAID = "rule-said"


def begin(stored: Stored | None = None) -> None:
    """Open the editor on a rule, or on a new one."""
    made = draft(dict(stored.document), rule_id=stored.id, version=stored.version) if stored else new_draft()
    st.session_state[_DRAFT] = made


def close() -> None:
    """Leave the editor; what was not saved is gone."""
    st.session_state.pop(_DRAFT, None)
    if LINK in st.query_params:
        del st.query_params[LINK]


def is_open() -> bool:
    """Whether a draft is in the editor."""
    return _DRAFT in st.session_state


def current() -> Draft | None:
    """The draft in the editor, if it is open. A link to a rule (`?rule=ID`) opens it; the URL names what is open."""
    made: Draft | None = st.session_state.get(_DRAFT)
    linked = st.query_params.get(LINK, "")
    if linked and (made is None or made.rule_id != linked) and linked != st.session_state.get(_LINKED):
        made = _follow(linked)
    if made is not None and made.rule_id and linked != made.rule_id:
        st.query_params[LINK] = made.rule_id
    elif linked and (made is None or not made.rule_id):
        del st.query_params[LINK]
    st.session_state[_LINKED] = st.query_params.get(LINK, "")
    return made


def _follow(rule_id: str) -> Draft | None:
    try:
        stored = rules.get(context.store(), rule_id)
    except NotFound:
        st.session_state[SAID] = "There is no such rule any more."
        return st.session_state.get(_DRAFT)
    if stored.fault:
        st.session_state[SAID] = f"“{stored.name}” cannot be read any more, so it cannot be edited here."
        return st.session_state.get(_DRAFT)
    begin(stored)
    return st.session_state.get(_DRAFT)


def editor(made: Draft) -> None:
    """The whole editor of one draft."""
    values = _known_values()
    with st.container(border=True, key="section-rule", gap="medium"):
        rule_form.basics(made)
        with st.container(gap="xsmall", key=f"when-{made.id}"):
            st.markdown("**Fire when**")
            condition_form.conditions(made, values)
        rule_form.scope(made, values)
        with st.expander("Timing", key=f"timing-{made.id}"):
            rule_form.timing(made)
        with st.expander("Who is told", key=f"telling-{made.id}", expanded=True):
            rule_form.telling(made, _channel_names())
    rule = _judged(made)
    _actions(made, rule)
    if rule is not None:
        trial.trial(made, rule)


def _judged(made: Draft) -> Rule | None:
    """The rule as words and as YAML, or what is wrong with it."""
    document = rule_form.tidy(made.document())
    try:
        rule = parse(document)
    except RuleError as error:
        said = "\n".join(f"- {_place(fault.path)}{plain(fault.message)}" for fault in error.faults)
        st.warning(f"Not a rule yet:\n{said}", icon=":material/edit_note:")
        return None
    st.info(plain(sentence(rule)), icon=":material/format_quote:")
    with st.expander("As YAML", key=f"yaml-{made.id}"):
        st.code(to_yaml(rule), language="yaml")
    return rule


def _place(path: str) -> str:
    return f"`{path}` " if path else ""


def _actions(made: Draft, rule: Rule | None) -> None:
    if st.session_state.get(_STALE) == made.id:
        _stale(made)
    with st.container(horizontal=True, key="rule-actions"):
        saved = st.button(
            "Save rule",
            type="primary",
            icon=":material/save:",
            disabled=rule is None,
            key="save-rule",
            shortcut="Ctrl+S",
            help="It is evaluated from then on.",
        )
        if saved and rule:
            _save(made, rule)
        if st.button("Cancel", key="cancel-rule"):
            close()
            st.rerun()


def _save(made: Draft, rule: Rule) -> None:
    expected = made.version or None
    try:
        rules.save(context.store(), rule, by="app", rule_id=made.rule_id or None, version=expected)
    except StaleVersion:
        st.session_state[_STALE] = made.id
        st.rerun()
    except (EngineError, StoreError) as error:
        st.error(str(error), icon=":material/error:")
        return
    close()
    st.session_state[SAID] = f"Saved “{rule.name}”. It is evaluated from now on."
    st.rerun()


def _stale(made: Draft) -> None:
    """Somebody saved the rule meanwhile: take theirs, or put this one over it."""
    st.error("Somebody changed this rule while you edited it. Nothing of yours is saved yet.", icon=":material/error:")
    with st.container(horizontal=True, key="rule-stale"):
        st.button("Load theirs", key="load-theirs", on_click=_reload, args=(made,), help="Yours is dropped.")
        st.button("Keep mine", key="keep-mine", on_click=_rebase, args=(made,), help="Then save again to replace it.")


def _reload(made: Draft) -> None:
    st.session_state.pop(_DRAFT, None)
    _follow(made.rule_id)


def _rebase(made: Draft) -> None:
    st.session_state.pop(_STALE, None)
    try:
        made.version = rules.get(context.store(), made.rule_id).version
    except NotFound:
        made.rule_id, made.version = "", 0


def _channel_names() -> list[str]:
    return [row.name for row in context.fresh(channel_store.every)]


def _known_values() -> Values:
    end = context.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

    def values(name: str) -> list[str]:
        return [str(value) for value in context.fresh(ledger.values, name, end - trial.LONGEST, end)]

    return values
