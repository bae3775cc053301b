"""The conditions of a rule: groups of all, any or none, nested, one line a condition.

Every control writes into the draft at once; `engine.rule.parse` judges the whole.
"""

from collections.abc import Callable, Mapping

import streamlit as st

from app.controls.scopes import Values, put, scopes
from app.controls.terms import WINDOWS, choice, window_label
from app.rule_draft import GROUP_KINDS, NEW_CONDITION, Document, Draft, Group, Leaf, remove
from data.metrics import RULE_METRICS, metric
from engine.condition import Op

DEEPEST_SHOWN = 4
OP_LABELS = {">": "above", ">=": "at least", "<": "below", "<=": "at most", "==": "equal to", "!=": "not equal to"}
COMPARISONS = {
    "": "its own value",
    "previous": "change from the window before",
    "1d": "change from a day ago",
    "7d": "change from a week ago",
}
#: Thresholds besides the first: what each is called, and help.
THRESHOLDS: Mapping[str, tuple[str, str]] = {
    "recovery": ("Recovers at", "Once it fires, it goes on until the value is back beyond this."),
    "warn": ("Warns at", "A milder threshold, at which it only warns: an alert of its own."),
    "warn_recovery": ("Warning recovers at", "Once it warns, it goes on until the value is back beyond this."),
}


def conditions(draft: Draft, values: Values) -> None:
    """The tree of conditions; `values` lists what a dimension has, for the scopes."""
    _group(draft, draft.root, values, level=1)


def _group(draft: Draft, group: Group, values: Values, *, level: int) -> None:
    with st.container(border=level > 1, key=f"group-{group.id}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", key=f"group-head-{group.id}"):
            kinds = list(GROUP_KINDS)
            group.kind = st.selectbox(
                "Group",
                kinds,
                index=kinds.index(group.kind),
                format_func=GROUP_KINDS.__getitem__,
                key=f"{group.id}-kind",
                label_visibility="collapsed",
                width=230,
            )
            if level > 1:
                _remove_button(draft, group.id, "Remove this group")
        for member in list(group.members):
            if isinstance(member, Group):
                _group(draft, member, values, level=level + 1)
            else:
                _condition(draft, member, values)
        with st.container(horizontal=True, key=f"group-add-{group.id}", gap="xsmall"):
            _add_button("Condition", group, lambda: Leaf(dict(NEW_CONDITION)), level)
            if level < DEEPEST_SHOWN:
                _add_button("Group", group, lambda: Group("any", [Leaf(dict(NEW_CONDITION))]), level)


def _add_button(label: str, group: Group, make: Callable[[], Leaf | Group], level: int) -> None:
    st.button(
        label,
        icon=":material/add:",
        type="tertiary",
        key=f"{group.id}-add-{label}",
        help=f"Add a {label.lower()} to this group" if level > 1 else None,
        on_click=lambda: group.members.append(make()),
    )


def _remove_button(draft: Draft, handle: str, what: str) -> None:
    st.button(
        "",
        icon=":material/close:",
        type="tertiary",
        key=f"{handle}-remove",
        help=what,
        on_click=remove,
        args=(draft.root, handle),
    )


def _condition(draft: Draft, leaf: Leaf, values: Values) -> None:
    said, handle = leaf.document, leaf.id
    names = [each.name for each in RULE_METRICS]
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"condition-{handle}", gap="small"):
        said["metric"] = st.selectbox(
            "Metric",
            names,
            index=names.index(said["metric"]) if said["metric"] in names else 0,
            format_func=lambda name: metric(name).label,
            key=f"{handle}-metric",
            width=200,
            help=metric(said["metric"]).definition if said["metric"] in names else None,
        )
        said["window"] = choice("Window", said["window"], WINDOWS, f"{handle}-window", window_label, width=190)
        ops = [op.value for op in Op]
        said["op"] = st.selectbox(
            "Is", ops, index=ops.index(said["op"]), format_func=OP_LABELS.__getitem__, key=f"{handle}-op", width=130
        )
        said["value"] = st.number_input(
            _threshold_label(said), value=float(said["value"]), step=None, format="%g", key=f"{handle}-value", width=150
        )
        _more(leaf, values)
        _remove_button(draft, handle, "Remove this condition")


def _more(leaf: Leaf, values: Values) -> None:
    said, handle = leaf.document, leaf.id
    extras = sum(bool(said.get(name)) for name in ("compare", "where"))
    extras += sum(said.get(name) is not None for name in THRESHOLDS)
    with st.popover(f"More ({extras})" if extras else "More", key=f"{handle}-more"):
        options = list(COMPARISONS)
        now = said.get("compare", {}).get("to", "")
        compared = st.selectbox(
            "Measure",
            options if now in options else [*options, now],
            index=options.index(now) if now in options else len(options),
            format_func=lambda to: COMPARISONS.get(to, f"change from {to} ago"),
            key=f"{handle}-compare",
            on_change=_take,
            args=(leaf,),
        )
        unit = {"percent": "in percent", "difference": "as a difference"}
        kind = said.get("compare", {}).get("as", "percent")
        if compared:
            kind = st.segmented_control(
                "Change",
                list(unit),
                default=kind,
                required=True,
                format_func=unit.__getitem__,
                key=f"{handle}-as",
                on_change=_take,
                args=(leaf,),
            )
        put(said, "compare", {"to": compared, "as": kind} if compared else None)
        for name, (label, help_text) in THRESHOLDS.items():
            if name != "warn_recovery" or said.get("warn") is not None:
                _threshold(leaf, name, label, help_text)
        scopes(said, f"{handle}-where", values)


def _threshold(leaf: Leaf, name: str, label: str, help_text: str) -> None:
    value = st.number_input(
        label,
        value=leaf.document.get(name),
        format="%g",
        key=f"{leaf.id}-{name}",
        placeholder=None if name == "warn" else "the threshold",
        help=help_text,
        on_change=_take,
        args=(leaf,),
    )
    put(leaf.document, name, value)


def _take(leaf: Leaf) -> None:
    """Write what is changed behind `More` before the page is drawn: the line above it tells of it."""
    said, handle, state = leaf.document, leaf.id, st.session_state
    compared = state.get(f"{handle}-compare")
    kind = state.get(f"{handle}-as") or said.get("compare", {}).get("as", "percent")
    put(said, "compare", {"to": compared, "as": kind} if compared else None)
    for name in THRESHOLDS:
        put(said, name, state.get(f"{handle}-{name}"))
    if said.get("warn") is None:
        put(said, "warn_recovery", None)


def _threshold_label(said: Document) -> str:
    compare = said.get("compare")
    if compare and compare.get("as", "percent") == "percent":
        return "Percent"
    unit = metric(said["metric"]).unit
    return {"usd": "US dollars", "percent": "Percent", "ms": "Milliseconds", "s": "Seconds"}.get(
        unit, unit.capitalize()
    )
