"""GET /v1/models and /v1/models/{id}: the caller's protocol is told by its headers."""

from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from proxy.simulated.model_list import MODELS, ModelProfile, listed
from proxy.simulated.openai_errors import error_body

_JSON = {"content-type": "application/json"}


async def models(request: web.Request) -> web.Response:
    """All models of the protocol's provider."""
    if _is_gemini(request):
        return await gemini_models(request)
    if _is_anthropic(request):
        data = [_anthropic(each) for each in listed("anthropic")]
        page = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return _json(page)
    return _json({"object": "list", "data": [_openai(each) for each in listed("openai")]})


async def model(request: web.Request) -> web.Response:
    """One model; 404 in the protocol's shape when there is none of that name."""
    if _is_gemini(request):
        return await gemini_model(request)
    name = request.match_info["id"]
    found = next((each for each in MODELS if each.name == name), None)
    anthropic = _is_anthropic(request)
    if found is not None:
        return _json(_anthropic(found) if anthropic else _openai(found))
    if anthropic:
        error = {"type": "not_found_error", "message": f"model: {name}"}
        return _json({"type": "error", "error": error, "request_id": None}, 404)
    return web.Response(body=error_body(404), status=404, headers=_JSON)


async def gemini_models(_request: web.Request) -> web.Response:
    """All models in Google's shape."""
    return _json({"models": [_gemini(each) for each in listed("google")]})


async def gemini_model(request: web.Request) -> web.Response:
    """One model in Google's shape; 404 when there is none of that name."""
    name = request.match_info["id"]
    found = next((each for each in listed("google") if each.name == name), None)
    if found is None:
        error = {"code": 404, "message": f"models/{name} is not found", "status": "NOT_FOUND"}
        return _json({"error": error}, 404)
    return _json(_gemini(found))


def _gemini(each: ModelProfile) -> dict[str, Any]:
    methods = ["embedContent"] if "embedding" in each.name else ["generateContent", "countTokens"]
    return {
        "name": f"models/{each.name}",
        "version": "001",
        "displayName": each.label,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": methods,
    }


def _is_gemini(request: web.Request) -> bool:
    return "x-goog-api-key" in request.headers


def _is_anthropic(request: web.Request) -> bool:
    return "anthropic-version" in request.headers


def _anthropic(each: ModelProfile) -> dict[str, Any]:
    return {
        "type": "model",
        "id": each.name,
        "display_name": each.label,
        "created_at": f"{each.released}T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }


def _openai(each: ModelProfile) -> dict[str, Any]:
    created = int(datetime.fromisoformat(each.released).replace(tzinfo=UTC).timestamp())
    return {"id": each.name, "object": "model", "created": created, "owned_by": each.owner}


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, headers=_JSON)
