"""Which incident's story is open: the one that is chosen alone, else the one a link names (`?alert=ID`)."""

from collections.abc import Sequence

import streamlit as st

KEY = "alert"
_WAS = "alert: chosen before"


def opened(chosen: Sequence[str]) -> str:
    """The id of the incident to tell, '' for none; the URL says the same afterwards."""
    linked = st.query_params.get(KEY, "")
    wanted = told(chosen, st.session_state.get(_WAS, []), linked)
    st.session_state[_WAS] = list(chosen)
    if wanted and wanted != linked:
        st.query_params[KEY] = wanted
    elif linked and not wanted:
        close()
    return wanted


def close() -> None:
    """Forget the link."""
    if KEY in st.query_params:
        del st.query_params[KEY]


def told(chosen: Sequence[str], before: Sequence[str], linked: str) -> str:
    """What is chosen alone wins; a link stands until something is chosen or unchosen."""
    if len(chosen) == 1:
        return chosen[0]
    return "" if chosen or before else linked
