"""Navigation: every page, in its section, and what stands around all of them."""

from pathlib import Path

import streamlit as st

from app.controls import inbox, zone
from app.views import page

PAGES = Path(__file__).resolve().parents[1] / "pages"

#: Section → (file, title, icon); the first is where one lands.
SECTIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Monitor": (("overview", "Overview", "space_dashboard"),),
    "Analyse": (("explore", "Explore", "query_stats"),),
    "Alerting": (("alerts", "Alerts", "notifications"), ("rules", "Rules", "rule")),
}

st.set_page_config(
    page_title="Claude Proxy Analytics", page_icon=str(PAGES.parent / "app/static/mark.svg"), layout="wide"
)
st.logo(str(PAGES.parent / "app/static/mark.svg"), size="large")
page.style()

chosen = st.navigation(
    {
        section: [
            st.Page(
                PAGES / f"{name}.py", title=title, icon=f":material/{icon}:", url_path=name, default=name == "overview"
            )
            for name, title, icon in entries
        ]
        for section, entries in SECTIONS.items()
    }
)
with st.sidebar:
    inbox.bell()
    zone.picker()
chosen.run()
