"""/api/alerts/{active,history,stats}."""

import asyncio
from datetime import datetime
from typing import Annotated

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from data.queries.alerts import ACKNOWLEDGED, FIRING, RESOLVED, HistoryFilter
from engine import incidents
from engine.api import parameters
from engine.api.problems import BadRequest
from engine.api.reading import actor, answer, length, listed, moment, page, paged, posted, span
from engine.api.routes import DESK, LISTING, Route
from engine.incidents import Action
from engine.rule import Severity
from engine.statistics import statistics


class ActBody(BaseModel):
    """Who acts and what they say; an acknowledgement may end at `until`."""

    model_config = ConfigDict(extra="forbid")

    by: Annotated[str, Field(max_length=200)] = ""
    comment: Annotated[str, Field(max_length=4000)] = ""
    until: AwareDatetime | None = None


class BulkBody(ActBody):
    """The same done to many incidents, all or none."""

    action: Action
    ids: Annotated[list[str], Field(min_length=1, max_length=500)]


async def active(request: web.Request) -> web.Response:
    """Open incidents."""
    return answer({"items": await asyncio.to_thread(incidents.active, request.app[DESK].store), "next": None})


async def history(request: web.Request) -> web.Response:
    """Incidents of any status, newest first, a page at a time."""
    limit, cursor = page(request)
    found = await asyncio.to_thread(
        incidents.history, request.app[DESK].store, _filter(request), before=cursor, limit=limit + 1
    )
    return answer(paged(found, limit))


async def one(request: web.Request) -> web.Response:
    """One incident with its transitions and notifications."""
    return answer(await asyncio.to_thread(incidents.detail, request.app[DESK].store, request.match_info["id"]))


async def acknowledge(request: web.Request) -> web.Response:
    """Take one incident on."""
    return await _act(request, Action.ACKNOWLEDGE, await posted(request, ActBody))


async def resolve(request: web.Request) -> web.Response:
    """End one incident by hand."""
    return await _act(request, Action.RESOLVE, await posted(request, ActBody))


async def _act(request: web.Request, action: Action, asked: ActBody) -> web.Response:
    await _do(request, action, [request.match_info["id"]], asked)
    return await one(request)


async def bulk(request: web.Request) -> web.Response:
    """Acknowledge or resolve many, all or none."""
    asked = await posted(request, BulkBody)
    done = await _do(request, asked.action, asked.ids, asked)
    return answer({"items": done, "next": None})


async def _do(request: web.Request, action: Action, ids: list[str], asked: ActBody) -> list[incidents.Done]:
    desk, by = request.app[DESK], actor(request, asked.by)
    if action is Action.ACKNOWLEDGE:
        done = await asyncio.to_thread(
            incidents.acknowledge, desk.store, ids, by=by, comment=asked.comment, until=asked.until
        )
    else:
        done = await asyncio.to_thread(
            incidents.resolve, desk.store, ids, by=by, comment=asked.comment, public_url=desk.public_url
        )
    desk.outbox.set()
    return done


async def stats(request: web.Request) -> web.Response:
    """MTTA, MTTR and what fires most, of the incidents opened in a range."""
    start, end = span(request, "30d")
    return answer(await asyncio.to_thread(statistics, request.app[DESK].store, start, end))


def _filter(request: web.Request) -> HistoryFilter:
    start, end = _bounds(request)
    return HistoryFilter(
        status=_among(request, "status", (FIRING, ACKNOWLEDGED, RESOLVED)),
        severity=_among(request, "severity", tuple(Severity)),
        rule=listed(request, "rule"),
        start=start,
        end=end,
        text=request.query.get("q", "").strip(),
    )


def _bounds(request: web.Request) -> tuple[datetime | None, datetime | None]:
    query = request.query
    end = moment(query["to"], "to") if "to" in query else None
    if "from" in query:
        return moment(query["from"], "from"), end
    if "range" in query:
        return (end or moment("now", "to")) - length(query["range"]), end
    return None, end


def _among(request: web.Request, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    values = listed(request, name)
    strange = [value for value in values if value not in known]
    if strange:
        raise BadRequest(f"{name} must be among {', '.join(known)}, not {strange[0]!r}")
    return values


_HISTORY = (
    parameters.listed("status", "Of these states", FIRING, ACKNOWLEDGED, RESOLVED),
    parameters.listed("severity", "Of these severities", *Severity),
    parameters.listed("rule", "Of these rules, by id"),
    parameters.Parameter("q", "Found in names, summaries, labels and comments"),
    "from",
    "to",
    "range",
    "limit",
    "cursor",
)
ROUTES = (
    Route("GET", "/api/alerts/active", active, "Open incidents with their current values", result=LISTING),
    Route("GET", "/api/alerts/history", history, "Incidents, newest first", query=_HISTORY, result=LISTING),
    Route(
        "POST", "/api/alerts/history/bulk", bulk, "Acknowledge or resolve many, all or none", BulkBody, refuses=(404,)
    ),
    Route("GET", "/api/alerts/history/{id}", one, "One incident with its transitions and notifications"),
    Route("POST", "/api/alerts/history/{id}/ack", acknowledge, "Take an incident on", ActBody),
    Route("POST", "/api/alerts/history/{id}/resolve", resolve, "End an incident by hand", ActBody),
    Route("GET", "/api/alerts/stats", stats, "MTTA, MTTR, noisiest rules", query=("from", "to", "range")),
)
