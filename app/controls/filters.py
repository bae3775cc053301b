"""Filters by the values of dimensions; each is in the URL under its dimension's name."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.controls import link
from data.metrics import DIMENSIONS

#: Dimensions with few enough values to choose from.
OFFERED = ("provider", "model", "key", "project", "team", "user", "outcome", "status", "protocol", "source")


def picker(values: Callable[[str], Sequence[str]]) -> Mapping[str, tuple[str, ...]]:
    """Draw the filters behind one button; returns dimension → chosen values. `values` lists what a dimension has."""
    for name in OFFERED:
        link.many(name, ())
    active = sum(bool(st.session_state.get(name)) for name in OFFERED)
    label = f"Filters ({active})" if active else "Filters"
    with st.popover(label, icon=":material/filter_list:", key="filters", type="primary" if active else "secondary"):
        with st.grid(2, min_column_width=200, gap="small", key="filter-grid"):
            chosen = {name: _values_of(name, values(name)) for name in OFFERED}
        st.button(
            "Clear all", icon=":material/filter_list_off:", on_click=clear, disabled=not active, key="clear-filters"
        )
    return {name: picked for name, picked in chosen.items() if picked}


def clear() -> None:
    """Take every filter away."""
    for name in OFFERED:
        st.session_state[name] = []


def _values_of(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """A link may name a value that this range does not have: it stays."""
    labels = {each.name: each.label for each in DIMENSIONS}
    options = list(dict.fromkeys([*known, *st.session_state[name]]))
    picked = st.multiselect(labels[name], options, key=name, persist_state="session", placeholder="Any")
    link.publish(name, picked)
    return tuple(str(value) for value in picked)
