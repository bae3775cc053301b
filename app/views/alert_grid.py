"""The grid of incidents: sortable, selectable, and only the chosen ids come back from the browser."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pandas as pd
import polars as pl
from st_aggrid import AgGrid, DataReturnMode, JsCode

#: The grid would send its whole table back with every click; this sends what is selected.
_SELECTED = JsCode("""
function({eventData}) {
  return {selected: eventData.api.getSelectedNodes().map(node => node.id)};
}
""")
_ROW_ID = JsCode("function(params) { return params.data.id; }")
_RANK = JsCode("""
function(a, b) {
  const ranks = {critical: 5, high: 4, medium: 3, low: 2, info: 1};
  return (ranks[a] || 0) - (ranks[b] || 0);
}
""")
#: A sign before the word, so that colour is never alone.
_SIGNED = JsCode("""
function(params) {
  const signs = {critical: '\\u25B2\\u25B2', high: '\\u25B2', medium: '\\u25A0', low: '\\u25BC', info: '\\u00B7',
                 firing: '\\u25CF', acknowledged: '\\u25D0', resolved: '\\u25CB'};
  const word = params.value || '';
  return (signs[word] || '') + ' ' + word.charAt(0).toUpperCase() + word.slice(1);
}
""")
_WORD_CLASS = JsCode("function(params) { return 'word-' + params.value; }")
_FONT = "Inter, system-ui, sans-serif"
#: Mixed with the text's own colour, so that both themes have enough contrast.
_SHADES = {
    "critical": "#d0453f",
    "high": "#c4641b",
    "medium": "#a67500",
    "low": "#3c78c4",
    "firing": "#d0453f",
    "acknowledged": "#8a63c6",
}
#: The grid writes rules as `name {…}` and knows none within another, so this one comes whole, before a name.
_NARROW = (
    "@media (max-width: 640px) { .ag-paging-panel .ag-paging-page-size { display: none !important; }"
    " .ag-paging-panel { justify-content: space-between !important; } }"
)
_STYLE = {
    "@font-face": {"font-family": "Inter", "src": "url('/app/static/inter.woff2')", "font-weight": "400 700"},
    ".ag-root-wrapper, .ag-root-wrapper *:not(.ag-icon)": {"font-family": f"{_FONT} !important"},
    ".ag-root-wrapper": {
        "--ag-background-color": "var(--background-color)",
        "--ag-odd-row-background-color": "var(--background-color)",
        "--ag-header-background-color": "var(--secondary-background-color)",
        "--ag-border-color": "color-mix(in srgb, var(--text-color) 14%, var(--background-color))",
        "border-radius": "8px",
    },
    ".ag-row:not(.ag-row-selected)": {"background-color": "var(--background-color) !important"},
    ".ag-root, .ag-body, .ag-paging-panel": {"background-color": "var(--background-color) !important"},
    f"{_NARROW} .ag-paging-panel > span": {"white-space": "nowrap !important"},
    **{
        f".word-{word}": {"color": f"color-mix(in srgb, {shade} 72%, currentColor) !important", "font-weight": "600"}
        for word, shade in _SHADES.items()
    },
}
_COLUMNS: tuple[dict[str, Any], ...] = (
    {"field": "severity", "headerName": "Severity", "width": 118, "comparator": _RANK,
     "cellClass": _WORD_CLASS, "valueFormatter": _SIGNED},
    {"field": "status", "headerName": "Status", "width": 140, "cellClass": _WORD_CLASS, "valueFormatter": _SIGNED},
    {"field": "rule", "headerName": "Rule", "minWidth": 150, "flex": 2, "tooltipField": "rule"},
    {"field": "group", "headerName": "Group", "minWidth": 130, "flex": 2, "tooltipField": "group"},
    {"field": "summary", "headerName": "What", "minWidth": 220, "flex": 3, "tooltipField": "summary"},
    {"field": "opened", "headerName": "Opened", "width": 165, "sort": "desc"},
    {"field": "lasted", "headerName": "Duration", "width": 120, "sortable": False, "filter": False},
    {"field": "acknowledged_by", "headerName": "Taken by", "width": 120, "tooltipField": "acknowledged_by"},
    {"field": "comment", "headerName": "Comment", "minWidth": 130, "flex": 2, "tooltipField": "comment"},
)  # fmt: skip
OPTIONS: dict[str, Any] = {
    "columnDefs": list(_COLUMNS),
    "defaultColDef": {"sortable": True, "resizable": True, "filter": True, "suppressMovable": True},
    "getRowId": _ROW_ID,
    "rowSelection": {"mode": "multiRow", "checkboxes": True, "headerCheckbox": True, "enableClickSelection": True},
    "pagination": True,
    "paginationPageSize": 25,
    "paginationPageSizeSelector": [25, 100, 500],
    "animateRows": False,
    "tooltipShowDelay": 300,
    "enableCellTextSelection": True,
}


def alert_grid(incidents: Sequence[Mapping[str, Any]], *, now: datetime, tz: str, key: str) -> list[str]:
    """Draw the incidents (rows of `alerts`, `labels` unpacked); returns the ids that are selected."""
    answer = AgGrid(
        _frame(incidents, now, tz),
        gridOptions=OPTIONS,
        height=min(640, 96 + 30 * max(2, len(incidents))),
        key=key,
        data_return_mode=DataReturnMode.CUSTOM,
        custom_jscode_for_grid_return=_SELECTED,
        update_on=["selectionChanged"],
        allow_unsafe_jscode=True,
        enable_enterprise_modules=False,
        server_sync_strategy="server_wins",
        custom_css=_STYLE,
        theme="streamlit",
    )
    chosen = (answer.raw_data or {}).get("selected", []) if isinstance(answer.raw_data, dict) else []
    there = {row["id"] for row in incidents}
    return [alert_id for alert_id in chosen if alert_id in there]


def frame(incidents: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The incidents as a frame to take away: the columns of `alerts`, labels as JSON text."""
    return pl.DataFrame([{**row, "labels": orjson.dumps(row["labels"]).decode()} for row in incidents], strict=False)


def _frame(incidents: Sequence[Mapping[str, Any]], now: datetime, tz: str) -> pd.DataFrame:
    rows = [_row(incident, now, tz) for incident in incidents]
    return pd.DataFrame(rows, columns=["id", *(column["field"] for column in _COLUMNS)], dtype="object")


def _row(incident: Mapping[str, Any], now: datetime, tz: str) -> dict[str, str]:
    lasted = (incident["resolved_at"] or now) - incident["opened_at"]
    return {
        "id": incident["id"],
        "severity": incident["severity"],
        "status": incident["status"],
        "rule": incident["rule_name"],
        "group": ", ".join(f"{name}={value}" for name, value in incident["labels"].items()),
        "summary": incident["summary"],
        "opened": stamp(incident["opened_at"], tz),
        "lasted": elapsed(lasted),
        "acknowledged_by": incident["acknowledged_by"],
        "comment": incident["comment"],
    }


def stamp(at: datetime, tz: str) -> str:
    """An instant on the viewer's clock, written so that it sorts as text."""
    return f"{at.astimezone(ZoneInfo(tz)):%Y-%m-%d %H:%M:%S}"


def elapsed(length: timedelta) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `2 d 04 h`."""
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
