"""What `streamlit run app` opens: the application around `app/main.py`."""

import gc
import importlib
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parents[1]
# `streamlit run` puts only this folder on the path; our packages live one above
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

#: Slow to import; done once before the first visitor instead of during the first page.
HEAVY = ("pandas", "plotly.graph_objects", "plotly.subplots", "polars", "pyarrow", "tsdownsample", "app.summary")


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Import what pages need, then keep the garbage collector from walking it after every run."""
    for name in HEAVY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    yield


def unforeseen(error: Exception) -> bool:
    """What a page says when it fails in a way nobody thought of; the details go to the log, not to the visitor."""
    logging.getLogger("app").error("a page failed", exc_info=error)
    st.error(
        "Something went wrong on this page. The app's log says what; the other pages still work.",
        icon=":material/error:",
    )
    return True


app = st.App(Path(__file__).with_name("main.py"), lifespan=lifespan, on_script_error=unforeseen)
