"""/api/alerts/silences."""

import asyncio
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from data.queries.silences import ACTIVE, EXPIRED, PENDING
from engine import silences
from engine.api import parameters
from engine.api.moments import Moment
from engine.api.reading import a_page, actor, among, answer, expected_version, posted
from engine.api.routes import DESK, LISTING, Route
from engine.audit import clock

_STATES = (ACTIVE, PENDING, EXPIRED)
Text = Annotated[str, Field(min_length=1, max_length=200)]
Matchers = Annotated[dict[Text, Text], Field(min_length=1, max_length=20)]
Words = Annotated[str, Field(max_length=4000)]
Person = Annotated[str, Field(max_length=200)]
#: What the answer says that nobody sets: it may be sent back with the rest.
AsShown = Annotated[Any, Field(description="As it was shown; changes nothing")]


class SilenceBody(BaseModel):
    """Labels (or rule, rule_id, severity) and patterns that must all match, and until when."""

    model_config = ConfigDict(extra="forbid")

    matchers: Matchers
    ends_at: Moment
    starts_at: Moment | None = None
    comment: Words = ""
    by: Person = ""


class SilenceChange(BaseModel):
    """What is to be different, or a silence as it was shown, with changes; what is left out stays.

    `version` is the one that it was made from: 409 when that has passed. Once it has begun, only its end and its
    comment can change.
    """

    model_config = ConfigDict(extra="forbid")

    matchers: Matchers | None = None
    ends_at: Moment | None = None
    starts_at: Moment | None = None
    comment: Words | None = None
    version: Annotated[int, Field(ge=1, le=10**9 - 1)] | None = None
    by: Person = ""
    id: AsShown = None
    author: AsShown = None
    created_at: AsShown = None


async def listing(request: web.Request) -> web.Response:
    """Silences, newest first, a page at a time."""
    store, states, now = request.app[DESK].store, among(request, "state", _STATES), clock()
    text = request.query.get("q", "").strip()

    def rows(before: str, limit: int) -> list[dict[str, Any]]:
        return silences.page(store, now, states=states, text=text, before=before, limit=limit)

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


async def one(request: web.Request) -> web.Response:
    """One silence."""
    return answer(await asyncio.to_thread(silences.get, request.app[DESK].store, request.match_info["id"]))


async def change(request: web.Request) -> web.Response:
    """Change a silence, as when it ends; `version` (or If-Match) names the one it was made from."""
    asked = await posted(request, SilenceChange)
    changed = await asyncio.to_thread(
        silences.change,
        request.app[DESK].store,
        request.match_info["id"],
        by=actor(request, asked.by),
        matchers=asked.matchers,
        starts_at=asked.starts_at,
        ends_at=asked.ends_at,
        comment=asked.comment,
        version=expected_version(request, asked.version),
    )
    return answer(changed)


async def end(request: web.Request) -> web.Response:
    """End a silence now; `version` (or If-Match) names the one that is meant."""
    store, silence_id = request.app[DESK].store, request.match_info["id"]
    version = expected_version(request, request.query.get("version"))
    return answer(await asyncio.to_thread(silences.end, store, silence_id, by=actor(request), version=version))


_ONE = "/api/alerts/silences/{id}"
_IF_MATCH = parameters.Parameter("If-Match", "The version that is meant; 409 when it has passed")
ROUTES = (
    Route(
        "GET",
        "/api/alerts/silences",
        listing,
        "Silences, newest first",
        query=(
            parameters.listed("state", "In these states now", *_STATES),
            parameters.Parameter("q", "Found in matchers, comments and authors"),
            "limit",
            "cursor",
        ),
        result=LISTING,
    ),
    Route("POST", "/api/alerts/silences", create, "Begin a silence", SilenceBody, good=201),
    Route("GET", _ONE, one, "One silence"),
    Route("PUT", _ONE, change, "Let a silence end at another time, or change it", SilenceChange, headers=(_IF_MATCH,)),
    Route("DELETE", _ONE, end, "End a silence now", query=("version",), headers=(_IF_MATCH,)),
)
