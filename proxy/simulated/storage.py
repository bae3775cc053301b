"""What the simulated provider keeps over HTTP: batches and files."""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from data.model import Endpoint
from proxy.simulated.anthropic import AnthropicMessages
from proxy.simulated.batches import Batches
from proxy.simulated.dialect import Dialect
from proxy.simulated.exchange import Exchange
from proxy.simulated.files import Files
from proxy.simulated.openai_batches import OpenAIBatches
from proxy.simulated.openai_chat import OpenAIChat
from proxy.simulated.provider import Call, Provider, Work
from proxy.simulated.served import Served
from proxy.simulated.steering import Steering

Play = Callable[[web.Request, Exchange, Served], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Working = Callable[[Call, Steering, web.Request], Work]
_BATCHES = "/v1/messages/batches"
_OPENAI_BATCHES = "/v1/batches"
_FILES = "/v1/files"


class Storage:
    """Answers what asks for something that is kept."""

    def __init__(self, provider: Provider, play: Play) -> None:
        self._provider = provider
        self._play = play
        self._batches = Batches(provider)
        self._files = Files()
        self._openai_batches = OpenAIBatches(provider, self._files)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        self._add_batches(router)
        self._add_openai_batches(router)
        self._add_files(router)

    def _add_batches(self, router: web.UrlDispatcher) -> None:
        router.add_post(_BATCHES, self._batch(lambda call, steered, r: self._batches.create(call, steered, _origin(r))))
        router.add_get(_BATCHES, self._batch(lambda _c, _s, r: self._batches.listed(_origin(r))))
        one = _BATCHES + "/{id}"
        router.add_get(one, self._batch(lambda _c, _s, r: self._batches.looked_at(_id(r), _origin(r))))
        router.add_delete(one, self._batch(lambda _c, _s, r: self._batches.delete(_id(r))))
        router.add_post(one + "/cancel", self._batch(lambda _c, _s, r: self._batches.cancel(_id(r), _origin(r))))
        router.add_get(one + "/results", self._batch(lambda _c, _s, r: self._batches.results(_id(r))))

    def _add_openai_batches(self, router: web.UrlDispatcher) -> None:
        batches, one = self._openai_batches, _OPENAI_BATCHES + "/{id}"
        router.add_post(_OPENAI_BATCHES, self._openai_batch(lambda call, steered, _r: batches.create(call, steered)))
        router.add_get(_OPENAI_BATCHES, self._openai_batch(lambda _c, _s, _r: batches.listed()))
        router.add_get(one, self._openai_batch(lambda _c, _s, r: batches.looked_at(_id(r))))
        router.add_post(one + "/cancel", self._openai_batch(lambda _c, _s, r: batches.cancel(_id(r))))

    def _add_files(self, router: web.UrlDispatcher) -> None:
        router.add_post(_FILES, self._upload)
        router.add_get(_FILES, self._file(lambda call, _s, _r: self._files.listed(call)))
        one = _FILES + "/{id}"
        router.add_get(one, self._file(lambda call, _s, r: self._files.one(call, _id(r))))
        router.add_delete(one, self._file(lambda call, _s, r: self._files.delete(call, _id(r))))
        router.add_get(one + "/content", self._file(lambda _c, _s, r: self._files.content(_id(r))))

    def _batch(self, work: Working) -> Handler:
        return self._serves(Endpoint.BATCHES, work, AnthropicMessages())

    def _openai_batch(self, work: Working) -> Handler:
        return self._serves(Endpoint.BATCHES, work, OpenAIChat())

    def _file(self, work: Working) -> Handler:
        return self._serves(Endpoint.FILES, work)

    def _serves(self, endpoint: Endpoint, work: Working, dialect: Dialect | None = None) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            call = self._call(request, endpoint, await request.read(), dialect)
            served = self._provider.plain(call, lambda call, steered: work(call, steered, request))
            return await self._play(request, *served)

        return handler

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post() if request.content_type == "multipart/form-data" else {}
        file = form.get("file")
        content = file.file.read() if isinstance(file, web.FileField) else b""
        name = file.filename if isinstance(file, web.FileField) else ""
        kind = file.content_type if isinstance(file, web.FileField) else ""
        call = self._call(request, Endpoint.FILES, content)
        purpose = str(form.get("purpose", ""))
        served = self._provider.plain(call, lambda call, _: self._files.add(call, name, content, kind, purpose))
        return await self._play(request, *served)

    def _call(self, request: web.Request, endpoint: Endpoint, raw: bytes, dialect: Dialect | None = None) -> Call:
        """`dialect` None: the one that the headers speak."""
        told: Dialect = AnthropicMessages() if "anthropic-version" in request.headers else OpenAIChat()
        return self._provider.call(dialect or told, request.headers, raw, time.time(), endpoint=endpoint)


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _id(request: web.Request) -> str:
    return request.match_info["id"]
