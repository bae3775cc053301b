"""/api/openapi.json, made from the routes themselves."""

import re
from collections.abc import Sequence
from typing import Any

from engine.api.routes import Route

_PROBLEM = {
    "description": "Problem document (RFC 9457)",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def description(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document. Money in answers is a JSON number with up to nine decimals; read it as a decimal."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM_SCHEMA}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
        if route.body:
            model = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= model.pop("$defs", {}) | {route.body.__name__: model}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Alerts, notifications and analytics", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(route: Route) -> dict[str, Any]:
    placed = [_parameter(name, "path") for name in re.findall(r"{(\w+)}", route.path)]
    asked = [_parameter(name, "query") for name in route.query]
    schema = {"$ref": f"#/components/schemas/{route.body.__name__}"} if route.body else {"type": "object"}
    posts = route.method in {"POST", "PUT"}
    return {
        "summary": route.summary,
        "parameters": placed + asked,
        "responses": {"2XX": {"description": "Done"}, "default": _PROBLEM},
        **({"requestBody": {"content": {"application/json": {"schema": schema}}}} if posts else {}),
    }


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
