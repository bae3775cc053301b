"""Keeps controls in the URL, under their own names and with the values' own names, so that every view is a link.

Before a control is drawn, its value is taken from the URL if the URL says something new (a link was followed), else
from the session, else it is the default. After it is drawn, the URL is set to it; a default leaves the URL clean.
Streamlit's own binding is not used: it writes the labels that people read (`?by=Error+class`), not the values.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import streamlit as st

_PUBLISHED = "link: published"
T = TypeVar("T")


def adopt(key: str, default: T, parse: Callable[[Sequence[str]], T | None]) -> None:
    """Set the control's value before it is drawn; `parse` reads the URL's values, None: not valid."""
    said = st.query_params.get_all(key)
    if said and said != _published().get(key):
        value = parse(said)
        if value is not None:
            st.session_state[key] = value
    if st.session_state.get(key) is None:
        st.session_state[key] = default


def publish(key: str, values: Sequence[str], default: Sequence[str] = ()) -> None:
    """Set the URL to the control's values after it is drawn."""
    wanted = [] if list(values) == list(default) else [str(value) for value in values]
    if st.query_params.get_all(key) != wanted:
        if wanted:
            st.query_params[key] = wanted
        else:
            del st.query_params[key]
    _published()[key] = wanted


def one(key: str, options: Collection[str], default: str) -> None:
    """`adopt` for a choice of one of `options`."""
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    adopt(key, default, lambda said: said[-1] if said[-1] in options else None)


def many(key: str, default: Sequence[str], *, options: Collection[str] | None = None, most: int | None = None) -> None:
    """`adopt` for a choice of several; without `options`, any value is valid."""

    def parse(said: Sequence[str]) -> list[str] | None:
        return [value for value in dict.fromkeys(said) if options is None or value in options][:most] or None

    adopt(key, list(default), parse)


def _published() -> dict[str, list[str]]:
    """What the URL was last set to, by key; of this session."""
    if _PUBLISHED not in st.session_state:
        st.session_state[_PUBLISHED] = {}
    published: dict[str, list[str]] = st.session_state[_PUBLISHED]
    return published
