"""/api/alerts/rules/{id}/versions and /rollback."""

import asyncio

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from engine import rule_versions
from engine.api.paging import Place, a_page_by
from engine.api.parameters import number
from engine.api.problems import BadRequest
from engine.api.reading import actor, answer, expected_version, posted
from engine.api.routes import DESK, LISTING, Route
from engine.rule_versions import Version

_LARGEST = 10**9 - 1


class RollbackBody(BaseModel):
    """`to` is the version to go back to, `version` the one that is thought to be the present one."""

    model_config = ConfigDict(extra="forbid")

    to: int = Field(ge=1, le=_LARGEST)
    version: int | None = Field(default=None, ge=1, le=_LARGEST)
    by: str = ""


async def listing(request: web.Request) -> web.Response:
    """Versions, newest first, a page at a time."""
    store, rule_id = request.app[DESK].store, request.match_info["id"]

    def found(before: Place | None, limit: int) -> list[Version]:
        return rule_versions.every(store, rule_id, before=_number(before[0]) if before else None, limit=limit)

    return answer(await a_page_by(request, found, lambda version: (str(version.version),), 1))


async def difference(request: web.Request) -> web.Response:
    """What is different from `from`, the version before without it."""
    new = _number(request.match_info["version"])
    old = _number(request.query["from"]) if "from" in request.query else max(new - 1, 1)
    store, rule_id = request.app[DESK].store, request.match_info["id"]
    found = await asyncio.to_thread(rule_versions.between, store, rule_id, old, new)
    return answer({"from": old, "to": new, "items": found, "next": None})


async def rollback(request: web.Request) -> web.Response:
    """Say again what an earlier version said."""
    desk, asked = request.app[DESK], await posted(request, RollbackBody)
    stored = await asyncio.to_thread(
        rule_versions.rollback,
        desk.store,
        request.match_info["id"],
        asked.to,
        by=actor(request, asked.by),
        version=expected_version(request, asked.version),
    )
    desk.rules_changed.set()
    return answer(stored)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) <= _LARGEST:
        raise BadRequest(f"a version is a number, not {text!r}")
    return int(text)


ROUTES = (
    Route(
        "GET",
        "/api/alerts/rules/{id}/versions",
        listing,
        "The versions of a rule, newest first",
        query=("limit", "cursor"),
        result=LISTING,
    ),
    Route(
        "GET",
        "/api/alerts/rules/{id}/versions/{version}/diff",
        difference,
        "What a version has changed, field by field",
        query=(number("from", "Compared with this version; with the one before without it", _LARGEST),),
        result=LISTING,
    ),
    Route(
        "POST",
        "/api/alerts/rules/{id}/rollback",
        rollback,
        "Go back to an earlier version, which makes a new one",
        RollbackBody,
    ),
)
