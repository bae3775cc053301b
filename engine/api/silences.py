"""/api/alerts/silences."""

import asyncio
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from data.queries.silences import ACTIVE, EXPIRED, PENDING
from engine import silences
from engine.api import parameters
from engine.api.moments import Moment
from engine.api.reading import a_page, actor, among, answer, posted
from engine.api.routes import DESK, LISTING, Route
from engine.audit import clock

_STATES = (ACTIVE, PENDING, EXPIRED)
Text = Annotated[str, Field(min_length=1, max_length=200)]


class SilenceBody(BaseModel):
    """Labels (or rule, rule_id, severity) and patterns that must all match, and until when."""

    model_config = ConfigDict(extra="forbid")

    matchers: Annotated[dict[Text, Text], Field(min_length=1, max_length=20)]
    ends_at: Moment
    starts_at: Moment | None = None
    comment: Annotated[str, Field(max_length=4000)] = ""
    by: Annotated[str, Field(max_length=200)] = ""


async def listing(request: web.Request) -> web.Response:
    """Silences, newest first, a page at a time."""
    store, states, now = request.app[DESK].store, among(request, "state", _STATES), clock()

    def rows(before: str, limit: int) -> list[dict[str, Any]]:
        return silences.page(store, now, states=states, before=before, limit=limit)

    return answer(await a_page(request, rows))


async def create(request: web.Request) -> web.Response:
    """Begin a silence."""
    asked = await posted(request, SilenceBody)
    made = await asyncio.to_thread(
        silences.create,
        request.app[DESK].store,
        asked.matchers,
        ends_at=asked.ends_at,
        starts_at=asked.starts_at,
        comment=asked.comment,
        by=actor(request, asked.by),
    )
    return answer(made, 201)


async def end(request: web.Request) -> web.Response:
    """End a silence now."""
    store, silence_id = request.app[DESK].store, request.match_info["id"]
    return answer(await asyncio.to_thread(silences.end, store, silence_id, by=actor(request)))


ROUTES = (
    Route(
        "GET",
        "/api/alerts/silences",
        listing,
        "Silences, newest first",
        query=(parameters.listed("state", "In these states now", *_STATES), "limit", "cursor"),
        result=LISTING,
    ),
    Route("POST", "/api/alerts/silences", create, "Begin a silence", SilenceBody, good=201),
    Route("DELETE", "/api/alerts/silences/{id}", end, "End a silence now"),
)
