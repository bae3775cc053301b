"""What every page wears: the style sheet, the header and framed sections with their downloads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import streamlit as st

from app.controls.span import Span
from app.export import FORMATS, file_name, localised

EVERY_FORMAT = tuple(known.name for known in FORMATS)
STYLE = Path(__file__).with_name("style.css")


def style() -> None:
    """Put the style sheet into the page."""
    st.html(STYLE)


@contextmanager
def header(title: str) -> Iterator[None]:
    """The page's name; inside goes the control that governs all of it, to the right, or beneath on a phone."""
    with st.container(horizontal=True, vertical_alignment="center", key="page-header"):
        st.title(title, anchor=False, width="content")
        st.space("stretch")
        yield


@contextmanager
def section(
    title: str,
    *,
    key: str,
    note: str = "",
    span: Span | None = None,
    data: Callable[[], pl.DataFrame] | None = None,
    formats: Sequence[str] = ("csv",),
    subject: str = "",
) -> Iterator[None]:
    """A framed part of a page with its title; with `data` and `span`, its frame can be downloaded as each of `formats`.

    `subject` names the files where the title does not say enough.
    """
    with st.container(border=True, key=f"section-{key}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", key=f"head-{key}", gap="xsmall"):
            st.markdown(f"**{title}**" + (f" :small[:gray[{note}]]" if note else ""), width="stretch")
            if data is not None and span is not None:
                download(subject or title, span, data, key=key, formats=formats)
        yield


def download(
    subject: str,
    span: Span,
    data: Callable[[], pl.DataFrame],
    *,
    key: str,
    formats: Sequence[str] = EVERY_FORMAT,
) -> None:
    """A button a format; the file is made when it is asked for, and nothing reruns."""
    for each in (f for f in FORMATS if f.name in formats):
        st.download_button(
            each.name.upper() if len(formats) > 1 else "",
            data=lambda write=each.write: write(localised(data(), span.tz)),  # type: ignore[misc]
            file_name=file_name(subject, span, each.name),
            mime=each.mime,
            key=f"download-{key}-{each.name}",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
            help=f"Download {subject.lower()} as {each.name.upper()}",
        )
