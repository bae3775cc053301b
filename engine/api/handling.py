"""/api/alerts/history/{id}/… and /api/alerts/history/bulk: what people do with incidents."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from engine import decisions as told
from engine import handling, incidents
from engine.api.incidents import DETAIL, one
from engine.api.moments import Moment
from engine.api.problems import BadRequest
from engine.api.reading import a_page, actor, answer, posted
from engine.api.routes import DESK, LISTING, Route
from engine.audit import clock
from engine.desk import Desk
from engine.durations import PositiveDuration
from engine.errors import Fault, RuleError
from engine.incidents import Action, Done

Words = Annotated[str, Field(max_length=4000)]
Person = Annotated[str, Field(max_length=200)]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
Length = Annotated[PositiveDuration | None, Field(alias="for")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    by: Person = ""
    comment: Words = ""


class ActBody(_Body):
    """Who acts and what they say; an acknowledgement may end at `until`.

    `version` is that of the incident they saw: 409 when somebody else has acted since.
    """

    until: Moment | None = None
    version: Version | None = None


class SnoozeBody(ActBody):
    """Until when, or for how long (`for`), an incident is put off: one of the two."""

    for_: Length = None


class AssignBody(_Body):
    """To whom an incident is given; '' to nobody."""

    assignee: Person
    version: Version | None = None


class CommentBody(_Body):
    """What somebody has to say of an incident."""

    comment: Annotated[str, Field(min_length=1, max_length=4000)]
    version: Version | None = None


class BulkBody(_Body):
    """One act for many incidents, all or none; `versions` are those that were seen, by id."""

    action: Action
    ids: Annotated[list[str], Field(min_length=1, max_length=500)]
    until: Moment | None = None
    for_: Length = None
    assignee: Person | None = None
    versions: Annotated[dict[str, Version], Field(max_length=500)] = {}


async def acknowledge(request: web.Request) -> web.Response:
    """Take one incident on."""
    return await _act(request, Action.ACKNOWLEDGE, await posted(request, ActBody))


async def snooze(request: web.Request) -> web.Response:
    """Put one incident off."""
    return await _act(request, Action.SNOOZE, await posted(request, SnoozeBody))


async def resolve(request: web.Request) -> web.Response:
    """End one incident by hand."""
    return await _act(request, Action.RESOLVE, await posted(request, ActBody))


async def assign(request: web.Request) -> web.Response:
    """Give one incident to somebody."""
    return await _act(request, Action.ASSIGN, await posted(request, AssignBody))


async def comment(request: web.Request) -> web.Response:
    """Add to one incident's thread."""
    return await _act(request, Action.COMMENT, await posted(request, CommentBody))


async def _act(request: web.Request, action: Action, asked: BaseModel) -> web.Response:
    alert_id, given = request.match_info["id"], asked.model_dump(exclude_unset=True)
    version = given.pop("version", None)
    versions = {} if version is None else {alert_id: version}
    await _do(request, BulkBody(action=action, ids=[alert_id], versions=versions, **given))
    return await one(request)


async def bulk(request: web.Request) -> web.Response:
    """One act for many incidents, all or none."""
    return answer({"items": await _do(request, await posted(request, BulkBody)), "next": None})


async def _do(request: web.Request, asked: BulkBody) -> list[Done]:
    desk = request.app[DESK]
    done = await asyncio.to_thread(_done, desk, asked, actor(request, asked.by))
    desk.outbox.set()
    return done


def _done(desk: Desk, asked: BulkBody, by: str) -> list[Done]:
    store, ids = desk.store, asked.ids
    if beside := [alert_id for alert_id in asked.versions if alert_id not in ids]:
        raise RuleError(Fault(f"versions.{alert_id}", "is not among ids") for alert_id in beside)
    words: dict[str, Any] = {"by": by, "comment": asked.comment, "versions": asked.versions}
    match asked.action:
        case Action.ACKNOWLEDGE:
            return incidents.acknowledge(store, ids, until=asked.until, **words)
        case Action.SNOOZE:
            return handling.snooze(store, ids, until=_end(asked), **words)
        case Action.RESOLVE:
            return incidents.resolve(store, ids, public_url=desk.public_url, **words)
        case Action.ASSIGN:
            return handling.assign(store, ids, assignee=_assignee(asked), **words)
        case Action.COMMENT:
            return handling.comment(store, ids, **words)


def _end(asked: BulkBody) -> datetime:
    if asked.until is not None and asked.for_ is None:
        return asked.until
    if asked.for_ is not None and asked.until is None:
        return clock() + asked.for_
    raise BadRequest("give either until, a time, or for, a length like 2h")


def _assignee(asked: BulkBody) -> str:
    if asked.assignee is None:
        raise BadRequest("give the assignee; '' for nobody")
    return asked.assignee.strip()


async def comments(request: web.Request) -> web.Response:
    """One incident's thread, oldest first."""
    store, alert_id = request.app[DESK].store, request.match_info["id"]

    def rows(after: str, limit: int) -> list[dict[str, Any]]:
        return handling.comments(store, alert_id, after=after, limit=limit)

    return answer(await a_page(request, rows))


async def decisions(request: web.Request) -> web.Response:
    """Who was told of one incident, and why others were not, newest first."""
    store, alert_id = request.app[DESK].store, request.match_info["id"]

    def rows(before: str, limit: int) -> list[dict[str, Any]]:
        return list(map(told.plain, told.decisions(store, alert_id, before=before, limit=limit)))

    return answer(await a_page(request, rows))


_ALL = "/api/alerts/history"
_ONE = f"{_ALL}/{{id}}"
_PAGE = ("limit", "cursor")
_DECISIONS = "Every channel's decisions with their reasons, the silent ones too"
ROUTES = (
    Route("POST", f"{_ALL}/bulk", bulk, "One act for many incidents, all or none", BulkBody, refuses=(404,)),
    Route("POST", f"{_ONE}/ack", acknowledge, "Take an incident on", ActBody, result=DETAIL),
    Route("POST", f"{_ONE}/snooze", snooze, "Put an incident off for a while", SnoozeBody, result=DETAIL),
    Route("POST", f"{_ONE}/resolve", resolve, "End an incident by hand", ActBody, result=DETAIL),
    Route("POST", f"{_ONE}/assign", assign, "Give an incident to somebody", AssignBody, result=DETAIL),
    Route("GET", f"{_ONE}/comments", comments, "What people wrote, oldest first", query=_PAGE, result=LISTING),
    Route("POST", f"{_ONE}/comments", comment, "Add a comment", CommentBody, result=DETAIL),
    Route("GET", f"{_ONE}/decisions", decisions, _DECISIONS, query=_PAGE, result=LISTING),
)
