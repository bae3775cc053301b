"""Filters by the values of dimensions; each is in the URL under its dimension's name."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.controls import link
from data.metrics import dimension

#: Dimensions with few enough values to choose from.
OFFERED = ("provider", "model", "key", "project", "team", "user", "outcome", "status", "protocol", "source")


def picker(values: Callable[[str], Sequence[str]]) -> Mapping[str, tuple[str, ...]]:
    """Draw the filters behind one button; returns dimension → chosen values.

    `values` lists what a dimension has; it is asked only while the filters are open.
    """
    for name in OFFERED:
        link.many(name, ())
    active = sum(bool(st.session_state[name]) for name in OFFERED)
    label = f"Filters ({active})" if active else "Filters"
    with st.popover(label, icon=":material/filter_list:", key="filters", on_change="rerun") as box:
        if box.open:
            _draw(values)
            st.button("Clear all", icon=":material/filter_list_off:", on_click=clear, disabled=not active, key="clear")
    chosen = {name: tuple(str(value) for value in st.session_state[name]) for name in OFFERED}
    for name, picked in chosen.items():
        link.publish(name, picked)
    return {name: picked for name, picked in chosen.items() if picked}


def clear() -> None:
    """Take every filter away."""
    for name in OFFERED:
        st.session_state[name] = []


def _draw(values: Callable[[str], Sequence[str]]) -> None:
    """A control a dimension. A link may name a value that this range does not have: it stays."""
    with st.grid(2, min_column_width=200, gap="small", key="filter-grid"):
        for name in OFFERED:
            options = list(dict.fromkeys([*values(name), *st.session_state[name]]))
            st.multiselect(
                dimension(name).label,
                options,
                key=name,
                persist_state="session",
                placeholder="Any",
                format_func=lambda value: value or "(none)",
            )
