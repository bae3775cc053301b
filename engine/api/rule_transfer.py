"""/api/alerts/rules/export and /import."""

import asyncio

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from data.store import Store
from engine import rule_files, rule_transfer
from engine.api.reading import actor, answer, posted
from engine.api.routes import DESK, LISTING, Route
from engine.rule_transfer import Imported


class ImportBody(BaseModel):
    """`text` is YAML, one document a rule; `dry_run` only says what would be done."""

    model_config = ConfigDict(extra="forbid")

    text: str
    dry_run: bool = False
    by: str = ""


async def export(request: web.Request) -> web.Response:
    """All rules as YAML, a file of several documents; plain text, since YAML's own type is taken for a single one."""
    text = await asyncio.to_thread(rule_transfer.export_from, request.app[DESK].store)
    name = {"Content-Disposition": 'attachment; filename="rules.yaml"'}
    return web.Response(text=text, content_type="text/plain", charset="utf-8", headers=name)


async def bring(request: web.Request) -> web.Response:
    """Create and change rules by name, all or none."""
    desk, asked = request.app[DESK], await posted(request, ImportBody)
    by = actor(request, asked.by)
    done = await asyncio.to_thread(_bring, desk.store, asked, by)
    desk.rules_changed.set()
    return answer({"dry_run": asked.dry_run, "items": done, "next": None})


def _bring(store: Store, asked: ImportBody, by: str) -> list[Imported]:
    return rule_transfer.bring(store, rule_files.read(asked.text, "text"), by=by, dry_run=asked.dry_run)


ROUTES = (
    Route(
        "GET",
        "/api/alerts/rules/export",
        export,
        "All rules as YAML",
        result={"type": "string"},
        media="text/plain",
    ),
    Route(
        "POST",
        "/api/alerts/rules/import",
        bring,
        "Create and change rules by name from YAML, all or none",
        ImportBody,
        result=LISTING,
    ),
)
