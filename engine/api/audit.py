"""/api/alerts/audit."""

from typing import Any

import orjson
from aiohttp import web

from data.queries import audit
from data.queries.audit import AuditFilter
from engine.api import parameters
from engine.api.reading import a_page, among, answer, bounds, listed
from engine.api.routes import DESK, LISTING, Route


async def lines(request: web.Request) -> web.Response:
    """Who changed what, newest first."""
    store = request.app[DESK].store
    start, end = bounds(request)
    wanted = AuditFilter(
        actor=listed(request, "actor"),
        action=listed(request, "action"),
        kind=among(request, "kind", audit.KINDS),
        object_id=listed(request, "object"),
        start=start,
        end=end,
    )

    def rows(before: str, limit: int) -> list[dict[str, Any]]:
        return list(map(_plain, audit.lines(store, wanted, before=before, limit=limit).iter_rows(named=True)))

    return answer(await a_page(request, rows))


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
            parameters.listed("kind", "Of these kinds of object", *audit.KINDS),
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
