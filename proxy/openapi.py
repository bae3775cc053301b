"""/api/openapi.json: the proxy's routes described, and the worker's joined to them. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from data import problem
from proxy.api_route import ApiRoute, Parameter
from proxy.guard import TOKEN_HEADER

_REFERENCE: Final = "#/components/schemas/"
_PROBLEM: Final = {problem.MEDIA_TYPE: {"schema": {"$ref": f"{_REFERENCE}Problem"}}}
#: What the guard and the reading of parameters answer, whatever the route.
_ANY: Final = {
    400: "A parameter is unknown, or not what it must be.",
    401: "The API's token is not shown, or none is configured for callers from elsewhere.",
    403: "The host name, or the page's site, is not let in.",
}
#: What stands between a caller and the worker.
_FORWARDED: Final = {
    401: _ANY[401],
    403: _ANY[403],
    413: "The body is too large.",
    503: "The worker, or its store, does not answer.",
    504: "The worker was too slow.",
}
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "token": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
}
#: What of the worker's is not at the proxy's address, whose own stands there.
_WORKERS_OWN: Final = frozenset({"/health", "/metrics", "/api/openapi.json"})
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch", "options", "head", "trace"})
_AWAY: Final = "The worker does not answer; what it serves under /api is missing from this description."


def description(routes: Sequence[ApiRoute], version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of `routes`."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Problem": dict(problem.SCHEMA)}
    for route in routes:
        paths.setdefault(plain(route.path), {})[route.method.lower()] = _operation(route)
        if route.body is not None:
            model = route.body.model_json_schema(ref_template=_REFERENCE + "{model}")
            schemas |= model.pop("$defs", {}) | {route.body.__name__: model}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Claude Proxy Analytics", "version": version},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
        # for callers on this machine the token is not needed
        "security": [{}, *({name: []} for name in _SECURITY)],
    }


def joined(own: Mapping[str, Any], worker: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the proxy's document with the worker's paths and schemas; None: a note says that they are missing.

    A schema of the worker's that has the name of another one of the proxy's gets a name of its own.
    """
    if worker is None:
        return {**own, "x-note": _AWAY}
    worker = _renamed(own, worker)
    paths = {path: _forwarded(item) for path, item in worker.get("paths", {}).items() if path not in _WORKERS_OWN}
    schemas = {**_schemas(worker), **_schemas(own)}
    return {
        **own,
        "paths": {**paths, **own["paths"]},
        "components": {**own["components"], "schemas": schemas},
    }


def _operation(route: ApiRoute) -> dict[str, Any]:
    placed = [_placed(Parameter(name, "")) for name in re.findall(r"{(\w+)", route.path)]
    asked = [_asked(parameter) for parameter in route.parameters]
    answers = {**({} if route.open else _ANY), **route.answers}
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "summary": route.summary,
        "parameters": placed + asked,
        "responses": {str(status): _answer(route, status, answers[status]) for status in sorted(answers)},
    }
    if route.body is not None:
        schema = {"$ref": _REFERENCE + route.body.__name__}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _answer(route: ApiRoute, status: int, text: str) -> dict[str, Any]:
    if status in {101, 204}:
        return {"description": text}
    if status >= 400 and status not in route.told_so:
        return {"description": text, "content": _PROBLEM}
    return {"description": text, "content": {route.media: {"schema": dict(route.result)}}}


def _placed(parameter: Parameter) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1}
    return {"name": parameter.name, "in": "path", "required": True, "schema": schema}


def _asked(parameter: Parameter) -> dict[str, Any]:
    described = {"description": parameter.text} if parameter.text else {}
    return {"name": parameter.name, "in": "query", "required": False, "schema": dict(parameter.schema), **described}


def plain(path: str) -> str:
    """Return a path without the patterns that its parts must match."""
    return re.sub(r"{(\w+):[^}]*}", r"{\1}", path)


def _schemas(document: Mapping[str, Any]) -> dict[str, Any]:
    return dict(document.get("components", {}).get("schemas", {}))


def _renamed(own: Mapping[str, Any], worker: Mapping[str, Any]) -> dict[str, Any]:
    ours, theirs = _schemas(own), _schemas(worker)
    clashing = [name for name, schema in theirs.items() if name in ours and ours[name] != schema]
    text = json.dumps(worker)
    for name in clashing:
        text = text.replace(f'"{_REFERENCE}{name}"', f'"{_REFERENCE}Worker{name}"')
    renamed: dict[str, Any] = json.loads(text)
    schemas = _schemas(renamed)
    for name in clashing:
        schemas[f"Worker{name}"] = schemas.pop(name)
    renamed["components"] = {**renamed.get("components", {}), "schemas": schemas}
    return renamed


def _forwarded(item: Mapping[str, Any]) -> dict[str, Any]:
    """A path's operations with what else they may be answered with on the way through the proxy."""
    return {name: _with_answers(operation) if name in _METHODS else operation for name, operation in item.items()}


def _with_answers(operation: Mapping[str, Any]) -> dict[str, Any]:
    added = {str(status): {"description": text, "content": _PROBLEM} for status, text in _FORWARDED.items()}
    return {**operation, "responses": {**added, **operation.get("responses", {})}}
