"""/api/openapi.json, made from the routes themselves."""

import re
from collections.abc import Sequence
from typing import Any

from data import problem
from engine.api.parameters import ANY_FILTER, Parameter, described
from engine.api.routes import Route

_PROBLEM = {
    "description": "Problem document (RFC 9457)",
    "content": {problem.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def description(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document. Money in answers is a JSON number with up to nine decimals; read it as a decimal."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Problem": dict(problem.SCHEMA)}
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
    placed = [_placed(name) for name in re.findall(r"{(\w+)}", route.path)]
    asked = [_asked(parameter) for parameter in described(route.query)]
    asked += [_asked(parameter, "header") for parameter in route.headers]
    schema = {"$ref": f"#/components/schemas/{route.body.__name__}"} if route.body else {"type": "object"}
    return {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "summary": route.summary,
        "parameters": placed + asked,
        "responses": {str(route.good): _good(route)} | {str(status): _PROBLEM for status in _refusals(route)},
        **({"requestBody": {"content": {"application/json": {"schema": schema}}}} if _posts(route) else {}),
    }


def _good(route: Route) -> dict[str, Any]:
    if route.good in {101, 204}:
        return {"description": "Done"}
    return {"description": "Done", "content": {route.media: {"schema": dict(route.result)}}}


def _refusals(route: Route) -> list[int]:
    """Every status of a problem that the route may answer with."""
    found = {400, 403, 503, 504, *route.refuses}
    found |= {404} if "{" in route.path else set()
    found |= {413, 415, 422} if _posts(route) else set()
    found |= {409} if route.method != "GET" else set()
    found |= {422} if ANY_FILTER in route.query else set()
    return sorted(found)


def _posts(route: Route) -> bool:
    return route.method in {"POST", "PUT", "PATCH"}


def _placed(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _asked(parameter: Parameter, place: str = "query") -> dict[str, Any]:
    told = {"description": parameter.text} if parameter.text else {}
    return {"name": parameter.name, "in": place, "required": False, "schema": dict(parameter.schema), **told}
