"""The simulated provider over HTTP: reads a request, lets the provider decide, plays the exchange it gets."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

import msgspec
import orjson
from aiohttp import web

from data.model import Endpoint
from proxy.simulated import catalogue, embeddings
from proxy.simulated.anthropic import AnthropicMessages
from proxy.simulated.dialect import Dialect
from proxy.simulated.exchange import Exchange
from proxy.simulated.gemini import GeminiContent
from proxy.simulated.openai_chat import OpenAIChat
from proxy.simulated.openai_responses import OpenAIResponses
from proxy.simulated.play import Stage, play
from proxy.simulated.provider import Call, Provider, Work, ask_of
from proxy.simulated.served import Books, Served
from proxy.simulated.settings import SimulatedSettings
from proxy.simulated.steering import Steering
from proxy.simulated.storage import Storage

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DIALECTS: Mapping[str, Dialect] = {
    "/v1/messages": AnthropicMessages(),
    "/v1/chat/completions": OpenAIChat(),
    "/v1/responses": OpenAIResponses(),
}
BOOKS: web.AppKey[Books] = web.AppKey("books", Books)
PROVIDER: web.AppKey[Provider] = web.AppKey("provider", Provider)
_STAGE: web.AppKey[Stage] = web.AppKey("stage", Stage)
_JSON = {"content-type": "application/json"}
_LOGGED = 1_000


def make_app(settings: SimulatedSettings | None = None) -> web.Application:
    """The simulated provider as an application; `settings` None: healthy, at real speed.

    For tests in the same process `app[BOOKS]` are its log and totals (over HTTP they are at /simulated/), and
    `app[PROVIDER].seen` is how many requests have arrived.
    """
    provider = Provider(settings or SimulatedSettings())
    app = web.Application(client_max_size=provider.settings.max_body_bytes)
    app[PROVIDER], app[BOOKS], app[_STAGE] = provider, provider.books, Stage()
    for path, dialect in DIALECTS.items():
        app.router.add_post(path, _serves(dialect))
    app.router.add_post("/v1/messages/count_tokens", _count_tokens)
    app.router.add_post("/v1/embeddings", _embeddings)
    app.router.add_get("/v1beta/models", catalogue.gemini_models)
    app.router.add_get("/v1beta/models/{id}", catalogue.gemini_model)
    for version in ("v1", "v1beta"):
        app.router.add_post(f"/{version}/models/{{model}}:{{method}}", _gemini)
    Storage(provider, _played).add_to(app.router)
    app.router.add_get("/v1/models", catalogue.models)
    app.router.add_get("/v1/models/{id}", catalogue.model)
    app.router.add_get("/simulated/log", _log)
    app.router.add_delete("/simulated/log", _clear)
    app.router.add_get("/simulated/totals", _totals)
    app.on_shutdown.append(_stop)
    return app


def _serves(dialect: Dialect) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        provider = request.app[PROVIDER]
        raw = await request.read()
        exchange, served = provider.answer(provider.call(dialect, request.headers, raw, time.time()))
        return await _played(request, exchange, served)

    return handler


async def _count_tokens(request: web.Request) -> web.StreamResponse:
    return await _worked(request, DIALECTS["/v1/messages"], Endpoint.COUNT_TOKENS, _counts("input_tokens"))


async def _embeddings(request: web.Request) -> web.StreamResponse:
    return await _worked(request, DIALECTS["/v1/chat/completions"], Endpoint.EMBEDDINGS, embeddings.openai)


async def _gemini(request: web.Request) -> web.StreamResponse:
    model, method = request.match_info["model"], request.match_info["method"]
    dialect = GeminiContent(model, stream=method == "streamGenerateContent", events=request.query.get("alt") == "sse")
    match method:
        case "generateContent" | "streamGenerateContent":
            return await _serves(dialect)(request)
        case "countTokens":
            return await _worked(request, dialect, Endpoint.COUNT_GEMINI_TOKENS, _counts("totalTokens"))
        case "embedContent" | "batchEmbedContents":
            work = partial(embeddings.gemini, model=model, batch=method == "batchEmbedContents")
            return await _worked(request, dialect, Endpoint.EMBEDDINGS, work)
    return web.Response(status=404, body=dialect.error(404, ""), headers=_JSON)


def _counts(name: str) -> Callable[[Call, Steering], Work]:
    """What counts the tokens of a request, and tells them as `name`."""

    def work(call: Call, steered: Steering) -> Work:
        ask, given = ask_of(call.dialect, call.json()), steered.count("input")
        return Work({name: ask.input_tokens if given is None else given}, ask.model)

    return work


async def _worked(
    request: web.Request, dialect: Dialect, endpoint: Endpoint, work: Callable[[Call, Steering], Work]
) -> web.StreamResponse:
    provider = request.app[PROVIDER]
    call = provider.call(dialect, request.headers, await request.read(), time.time(), endpoint=endpoint)
    return await _played(request, *provider.plain(call, work))


async def _played(request: web.Request, exchange: Exchange, served: Served) -> web.StreamResponse:
    books = request.app[BOOKS]

    def note(sent: bool) -> None:  # noqa: FBT001 - the one thing that is reported
        books.add(replace(served, complete=sent and exchange.intact))

    return await play(request, exchange, request.app[_STAGE], note)


async def _log(request: web.Request) -> web.Response:
    """The last requests, oldest first; `?limit=N` for fewer or more than a thousand."""
    wanted = request.query.get("limit", "")
    limit = int(wanted) if wanted.isdecimal() else _LOGGED
    return web.Response(body=msgspec.json.encode(request.app[BOOKS].last(limit)), headers=_JSON)


async def _totals(request: web.Request) -> web.Response:
    return web.Response(body=orjson.dumps(request.app[BOOKS].summary()), headers=_JSON)


async def _clear(request: web.Request) -> web.Response:
    request.app[BOOKS].clear()
    return web.Response(status=204)


async def _stop(app: web.Application) -> None:
    app[_STAGE].close()
