"""The simulated provider over HTTP: reads a request, lets the provider decide, plays the exchange it gets."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace

import orjson
from aiohttp import web

from data.model import Endpoint
from proxy.simulated import catalogue
from proxy.simulated.anthropic import AnthropicMessages
from proxy.simulated.dialect import Dialect
from proxy.simulated.exchange import Exchange
from proxy.simulated.openai_chat import OpenAIChat
from proxy.simulated.openai_responses import OpenAIResponses
from proxy.simulated.play import Stage, play
from proxy.simulated.provider import Provider
from proxy.simulated.served import Books, Served
from proxy.simulated.settings import SimulatedSettings

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
    provider, dialect = request.app[PROVIDER], DIALECTS["/v1/messages"]
    raw = await request.read()
    call = provider.call(dialect, request.headers, raw, time.time(), endpoint=Endpoint.COUNT_TOKENS)
    return await _played(request, *provider.counted(call))


async def _played(request: web.Request, exchange: Exchange, served: Served) -> web.StreamResponse:
    books = request.app[BOOKS]

    def note(sent: bool) -> None:  # noqa: FBT001 - the one thing that is reported
        books.add(replace(served, complete=sent and exchange.intact))

    return await play(request, exchange, request.app[_STAGE], note)


async def _log(request: web.Request) -> web.Response:
    """The last requests, oldest first; `?limit=N` for fewer or more than a thousand."""
    wanted = request.query.get("limit", "")
    limit = int(wanted) if wanted.isdecimal() else _LOGGED
    entries = [asdict(each) for each in request.app[BOOKS].last(limit)]
    return web.Response(body=orjson.dumps(entries), headers=_JSON)


async def _totals(request: web.Request) -> web.Response:
    return web.Response(body=orjson.dumps(request.app[BOOKS].summary()), headers=_JSON)


async def _clear(request: web.Request) -> web.Response:
    request.app[BOOKS].clear()
    return web.Response(status=204)


async def _stop(app: web.Application) -> None:
    app[_STAGE].close()
