"""Filters by the values of dimensions; each is in the URL under its dimension's name."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.controls import link
from data.dimensions import OWN_DIMENSIONS
from data.metrics import Metric, dimension

#: Dimensions with few enough values to choose from.
OFFERED = ("provider", "model", "key", "project", "team", "user", "outcome", "status", "protocol", "source")


def picker(values: Callable[[str], Sequence[str]], of: Metric | None = None) -> Mapping[str, tuple[str, ...]]:
    """Draw the filters behind one button; returns dimension → chosen values.

    `values` lists what a dimension has; it is asked only while the filters are open. Those that the metric `of` does
    not have are left out, and come back as they were with one that has them.
    """
    offered = of.dimensions if of is not None and of.dimensions else OFFERED
    for name in offered:
        link.many(name, ())
    active = sum(bool(st.session_state[name]) for name in offered)
    label = f"Filters ({active})" if active else "Filters"
    with st.popover(label, icon=":material/filter_list:", key="filters", on_change="rerun") as box:
        if box.open:
            _draw(offered, values)
            no_filter = ":material/filter_list_off:"
            st.button("Clear all", icon=no_filter, on_click=clear, args=(offered,), disabled=not active, key="clear")
    chosen = {name: tuple(str(value) for value in st.session_state[name]) for name in offered}
    for name in dict.fromkeys((*OFFERED, *(own.name for own in OWN_DIMENSIONS))):
        link.publish(name, chosen.get(name, ()))
    return {name: picked for name, picked in chosen.items() if picked}


def clear(offered: Sequence[str]) -> None:
    """Take these filters away."""
    for name in offered:
        st.session_state[name] = []


def _draw(offered: Sequence[str], values: Callable[[str], Sequence[str]]) -> None:
    """A control a dimension. A link may name a value that this range does not have: it stays."""
    with st.grid(2, min_column_width=200, gap="small", key="filter-grid"):
        for name in offered:
            options = list(dict.fromkeys([*values(name), *st.session_state[name]]))
            st.multiselect(
                dimension(name).label,
                options,
                key=name,
                persist_state="session",
                placeholder="Any",
                format_func=lambda value: value or "(none)",
            )
