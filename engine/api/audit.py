"""/api/alerts/audit."""

import asyncio
from typing import Any

import orjson
from aiohttp import web

from data.queries import audit
from data.queries.audit import AuditFilter
from engine.api import parameters
from engine.api.reading import answer, bounds, listed, page, paged
from engine.api.routes import DESK, LISTING, Route


async def lines(request: web.Request) -> web.Response:
    """Who changed what, newest first."""
    limit, cursor = page(request)
    start, end = bounds(request)
    wanted = AuditFilter(
        actor=listed(request, "actor"),
        action=listed(request, "action"),
        kind=listed(request, "kind"),
        object_id=listed(request, "object"),
        start=start,
        end=end,
    )
    found = await asyncio.to_thread(audit.lines, request.app[DESK].store, wanted, before=cursor, limit=limit + 1)
    return answer(paged([_plain(row) for row in found.iter_rows(named=True)], limit))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "detail": orjson.loads(row["detail"])}


ROUTES = (
    Route(
        "GET",
        "/api/alerts/audit",
        lines,
        "Who changed which rule, channel, silence, incident, key or budget, newest first",
        query=(
            parameters.listed("actor", "By these people"),
            parameters.listed("action", "These acts: create, update, delete, acknowledge, …"),
            parameters.listed("kind", "Of these kinds of object: rule, channel, silence, alert, …"),
            parameters.listed("object", "Of these objects, by id"),
            "from",
            "to",
            "range",
            "limit",
            "cursor",
        ),
        result=LISTING,
    ),
)
