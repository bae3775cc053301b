"""Explore: any metric, by anything, over any range, against the range before."""

import streamlit as st

from app import context
from app.controls import filters, pickers, ranges
from app.inquiry import Inquiry, findings
from app.views import chart, page, picture, tables
from app.views.empty import no_data, no_readings
from app.views.format import moment
from data.metrics import dimension, metric
from data.queries import ledger
from data.query import sentence

with context.standing():
    first = metric(pickers.chosen_metrics()[0])
    with page.header("Explore"):
        span = ranges.picker(context.now())
        where = filters.picker(lambda name: context.fresh(ledger.values, name, span.start, span.end), first)
    with st.grid(3, min_column_width=190, gap="small", key="explore-controls"):
        metrics = pickers.metrics_picker()
        by = pickers.breakdown_picker(first)
        grain = pickers.grain_picker(span)
    with st.container(horizontal=True, vertical_alignment="center", key="explore-looks"):
        drawn = pickers.chart_picker()
        compare = pickers.compare_toggle()

    asked = Inquiry(metrics, span, by, grain, where, compare)
    found = findings(asked)
    question = asked.question(grain=grain)
    st.caption(sentence(question))
    if first.dimensions and not found.known(first.name):
        no_readings("explore")
        st.stop()
    if found.nothing:
        since, _ = context.fresh(ledger.extent)
        no_data("explore", moment(since, span.tz) if since else None)
        st.stop()

    title = ", ".join(each.label for each in asked.measured) + (f" by {dimension(by).label.lower()}" if by else "")
    both = ("csv", "json")
    shown, hidden = picture.picture(found, asked, bars=drawn == "bars")
    note = f"the largest; {hidden} more in the totals" if hidden else ""
    with page.section(title, key="picture", note=note, span=span, data=found.course, formats=both):
        if drawn == "table" and found.series is not None:
            tables.series(found.course(), asked.measured, by, span.tz)
        else:
            st.plotly_chart(shown, key="picture", config=chart.CONFIG, alt=sentence(question))
    with page.section(
        "Totals", key="totals", subject=f"{title} totals", span=span, data=lambda: found.totals, formats=both
    ):
        tables.totals(found.totals, found.whole, asked.measured, by, compare=compare)
