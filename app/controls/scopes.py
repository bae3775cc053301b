"""Filters inside a rule: what its conditions look at."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.rule_draft import Document
from data.metrics import RULE_METRICS, dimension, metric

SCOPES = ("provider", "model", "key", "project", "team", "user", "outcome", "status")
EVERY_METRIC = frozenset(each.name for each in RULE_METRICS)
#: Lists the values a dimension has.
Values = Callable[[str], Sequence[str]]


def where_button(label: str, fields: Document, key: str, values: Values) -> None:
    """The filters of `fields` behind one button."""
    active = len(fields.get("where", {}))
    with st.popover(
        f"{label} ({active})" if active else f"{label} …", icon=":material/filter_list:", key=f"{key}-open"
    ):
        scopes(fields, key, values)


def scopes(said: Document, key: str, values: Values) -> None:
    """Filters by dimension; those the form does not offer stay as they are."""
    where = {name: _listed(wanted) for name, wanted in said.get("where", {}).items()}
    for name in _offered(said, where):
        chosen = st.multiselect(
            dimension(name).label,
            list(dict.fromkeys([*values(name), *where.get(name, [])])),
            default=where.get(name, []),
            key=f"{key}-{name}",
            placeholder="Any",
            accept_new_options=True,
            on_change=_take,
            args=(said, name, f"{key}-{name}"),
        )
        put(where, name, chosen)
    put(said, "where", where)


def _offered(said: Document, where: Mapping[str, list[str]]) -> Sequence[str]:
    """The dimensions of a condition's metric, with what filters it and should not; else the usual ones."""
    own = metric(said["metric"]).dimensions if said.get("metric") in EVERY_METRIC else ()
    return (*own, *(name for name in SCOPES if name in where and name not in own)) if own else SCOPES


def _take(said: Document, name: str, key: str) -> None:
    """Write a changed filter before the page is drawn, so that what counts the filters counts it too."""
    where = dict(said.get("where", {}))
    put(where, name, st.session_state.get(key))
    put(said, "where", where)


def put(said: Document, name: str, value: object) -> None:
    """Set a field, or take it out where the form left it empty."""
    if value is None or value in ({}, []):
        said.pop(name, None)
    else:
        said[name] = value


def _listed(wanted: object) -> list[str]:
    return [str(value) for value in wanted] if isinstance(wanted, list | tuple) else [str(wanted)]
