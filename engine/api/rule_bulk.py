"""/api/alerts/rules/bulk."""

import asyncio
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from engine import rule_bulk
from engine.api.reading import actor, answer, posted
from engine.api.routes import DESK, LISTING, Route
from engine.rule_bulk import RuleAction

Version = Annotated[int, Field(ge=1, le=2**31 - 1)]


class RuleBulkBody(BaseModel):
    """One act for many rules, all or none; `versions` are those that were seen, by id."""

    model_config = ConfigDict(extra="forbid")

    action: RuleAction
    ids: Annotated[list[str], Field(min_length=1, max_length=500)]
    versions: Annotated[dict[str, Version], Field(max_length=500)] = {}
    by: Annotated[str, Field(max_length=200)] = ""


async def bulk(request: web.Request) -> web.Response:
    """Switch many rules on or off, or delete them, all or none."""
    desk, asked = request.app[DESK], await posted(request, RuleBulkBody)
    by = actor(request, asked.by)
    done = await asyncio.to_thread(rule_bulk.act, desk.store, asked.action, asked.ids, by=by, versions=asked.versions)
    desk.rules_changed.set()
    desk.outbox.set()
    return answer({"items": done, "next": None})


ROUTES = (
    Route(
        "POST",
        "/api/alerts/rules/bulk",
        bulk,
        "Switch many rules on or off, or delete them, all or none",
        RuleBulkBody,
        refuses=(404,),
        result=LISTING,
    ),
)
