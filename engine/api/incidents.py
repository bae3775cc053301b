"""/api/alerts/{active,history,stats}."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from data.queries.alerts import ACKNOWLEDGED, FIRING, OPEN, RESOLVED, HistoryFilter
from engine import incidents, kept_days
from engine.api import parameters
from engine.api.paging import Place, a_page_by
from engine.api.reading import a_page, among, answer, bounds, listed, moment, span
from engine.api.routes import DESK, LISTING, Route
from engine.rule import Severity
from engine.statistics import statistics


async def active(request: web.Request) -> web.Response:
    """Open incidents, newest first, a page at a time."""
    store, wanted = request.app[DESK].store, _filter(request, OPEN)

    def found(before: Place | None, limit: int) -> list[dict[str, Any]]:
        seen = (moment(before[0], "cursor"), before[1]) if before else None
        return incidents.active(store, wanted, before=seen, limit=limit)

    return answer(await a_page_by(request, found, lambda row: (row["opened_at"].isoformat(), row["id"]), 2))


async def history(request: web.Request) -> web.Response:
    """Incidents of any status, newest first, a page at a time."""
    store, wanted = request.app[DESK].store, _filter(request, (*OPEN, RESOLVED))

    def rows(before: str, limit: int) -> list[dict[str, Any]]:
        return incidents.history(store, wanted, before=before, limit=limit)

    return answer(await a_page(request, rows))


async def one(request: web.Request) -> web.Response:
    """One incident with its transitions and notifications."""
    return answer(await asyncio.to_thread(incidents.detail, request.app[DESK].store, request.match_info["id"]))


async def stats(request: web.Request) -> web.Response:
    """MTTA, MTTR and what fires most, of the incidents opened in a range."""
    start, end = span(request, "30d")
    return answer(await asyncio.to_thread(statistics, request.app[DESK].store, start, end))


async def stats_history(request: web.Request) -> web.Response:
    """The figures of each day, newest first, a page at a time; also of days whose rows are gone."""
    store, (start, end) = request.app[DESK].store, bounds(request)

    def found(before: Place | None, limit: int) -> list[dict[str, Any]]:
        seen = moment(before[0], "cursor") if before else None
        until = min((at for at in (end, seen) if at is not None), default=None)
        return kept_days.history(store, start, until, limit=limit)

    return answer(await a_page_by(request, found, lambda row: (row["day"].isoformat(),), 1))


def _filter(request: web.Request, statuses: tuple[str, ...]) -> HistoryFilter:
    start, end = bounds(request)
    return HistoryFilter(
        status=among(request, "status", statuses),
        severity=among(request, "severity", tuple(Severity)),
        rule=listed(request, "rule"),
        assignee=listed(request, "assignee"),
        channel=listed(request, "channel"),
        start=start,
        end=end,
        text=request.query.get("q", "").strip(),
    )


_FILTERS = (
    parameters.listed("severity", "Of these severities", *Severity),
    parameters.listed("rule", "Of these rules, by id"),
    parameters.listed("assignee", "Given to these people"),
    parameters.listed("channel", "With a notice for these channels, by name; silent ones do not count"),
    parameters.Parameter("q", "Found in names, summaries, labels and comments"),
    "from",
    "to",
    "range",
    "limit",
    "cursor",
)
_ACTIVE = (parameters.listed("status", "Of these states", FIRING, ACKNOWLEDGED), *_FILTERS)
_HISTORY = (parameters.listed("status", "Of these states", FIRING, ACKNOWLEDGED, RESOLVED), *_FILTERS)
_SPAN = ("from", "to", "range")
_ROWS = {"type": "array", "items": {"type": "object"}}
_MORE = {
    "more_notifications": "There are older notifications: /api/notifications/history?alert={id} has all",
    "more_comments": "There are later comments: /api/alerts/history/{id}/comments has all",
}
#: The answer with one incident.
DETAIL: Mapping[str, Any] = {
    "type": "object",
    "required": ["alert", "events", "notifications", "comments", *_MORE],
    "properties": {
        "alert": {"type": "object"},
        "events": _ROWS,
        "notifications": {**_ROWS, "description": f"The newest {incidents.MOST}, newest first"},
        "comments": {**_ROWS, "description": f"The first {incidents.MOST}, oldest first"},
        **{name: {"type": "boolean", "description": said} for name, said in _MORE.items()},
    },
}
ROUTES = (
    Route(
        "GET",
        "/api/alerts/active",
        active,
        "Open incidents with their current values, newest first",
        query=_ACTIVE,
        result=LISTING,
    ),
    Route("GET", "/api/alerts/history", history, "Incidents, newest first", query=_HISTORY, result=LISTING),
    Route(
        "GET",
        "/api/alerts/history/{id}",
        one,
        "One incident with its transitions, notifications and comments",
        result=DETAIL,
    ),
    Route(
        "GET",
        "/api/alerts/stats",
        stats,
        "MTTA, MTTR, noisiest rules; sources says which part is from rows and which from kept days",
        query=_SPAN,
    ),
    Route(
        "GET",
        "/api/alerts/stats/history",
        stats_history,
        "The figures of each day (UTC), newest first",
        query=(*_SPAN, "limit", "cursor"),
        result=LISTING,
    ),
)
