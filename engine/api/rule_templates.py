"""/api/alerts/templates."""

import asyncio
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from engine import rule_templates, rules
from engine.api.reading import actor, answer, posted
from engine.api.routes import DESK, LISTING, Route
from engine.rule import document
from engine.rule_templates import Template


class AddBody(BaseModel):
    """`set` has the parameters' values."""

    model_config = ConfigDict(extra="forbid")

    values: dict[str, Any] = Field(default_factory=dict, alias="set")
    enabled: bool = True
    by: str = ""


async def listing(_: web.Request) -> web.Response:
    """Every template, by category."""
    return answer({"items": [_shown(template) for template in rule_templates.every()], "next": None})


async def one(request: web.Request) -> web.Response:
    """One template."""
    return answer(_shown(rule_templates.get(request.match_info["name"])))


async def add(request: web.Request) -> web.Response:
    """Add a rule from a template; 201 with what is stored."""
    desk, asked = request.app[DESK], await posted(request, AddBody)
    rule = rule_templates.get(request.match_info["name"]).made(asked.values)
    by = actor(request, asked.by)
    made = await asyncio.to_thread(rules.save, desk.store, rule, by=by, enabled=asked.enabled)
    desk.rules_changed.set()
    return answer(made, 201)


def _shown(template: Template) -> dict[str, Any]:
    """A template; `rule` and `sentence` are of its example."""
    return {
        "name": template.name,
        "title": template.title,
        "category": template.category,
        "description": template.description,
        "why": template.why,
        "parameters": [
            {"name": name, "text": p.text, "required": p.required, "default": p.default, "example": p.example}
            for name, p in template.parameters.items()
        ],
        "rule": document(template.example()),
        "sentence": template.sentence(),
    }


ROUTES = (
    Route("GET", "/api/alerts/templates", listing, "Ready rules for what usually goes wrong", result=LISTING),
    Route("GET", "/api/alerts/templates/{name}", one, "One template: its parameters, its rule, and why"),
    Route("POST", "/api/alerts/templates/{name}", add, "Add a rule from a template", AddBody, good=201),
)
