"""An HTTP server whose answer to what is not HTTP repeats nothing of it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import ClientPayloadError, hdrs, web
from aiohttp.web_protocol import RequestHandler, _ErrInfo


class PlainHandler(RequestHandler):
    """One connection. aiohttp's own would send the bytes that it could not parse back, and log them."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the wire; what breaks off a body ends the wait of whoever reads it.

        aiohttp's own answers the fault after the request before it, which would wait for its body for ever.
        """
        super().data_received(data)
        request = self._current_request
        if request is None or request.content.is_eof() or not self._messages:
            return
        if isinstance(self._messages[-1][0], _ErrInfo):
            request.content.set_exception(ClientPayloadError("the body is not framed as HTTP says"))

    def end_if_idle(self) -> None:
        """End the connection where it waits for its client's next request, of which nothing is here yet."""
        if self._waiter is not None and not self._waiter.done():
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that failed: its status, and the kind of fault where the caller made it."""
        if message is not None:
            message = f"This is not valid HTTP ({type(exc).__name__}).\n"
        return super().handle_error(request, status, exc, message)


class PlainServer(web.Server):
    """Makes a `PlainHandler` for each connection."""

    def __call__(self) -> RequestHandler:
        """A handler for a new connection."""
        # never aiohttp's debug mode: its answers hold tracebacks
        return PlainHandler(self, loop=self._loop, **{**self._kwargs, "debug": False})


Handler = Callable[[Any], Awaitable[web.StreamResponse]]  # it is given a `web.Request`


class PlainRunner(web.AppRunner):
    """Runs an application behind a `PlainServer`.

    `straight_to`: handlers by path, as it stands in the request, that are called without the application's routing,
    middlewares and signals.
    """

    __slots__ = ("_straight_to",)

    def __init__(
        self, app: web.Application, *, straight_to: Mapping[str, Handler] | None = None, **settings: Any
    ) -> None:
        super().__init__(app, **settings)
        self._straight_to = straight_to or {}

    def end_idle(self) -> None:
        """End the connections that wait for a request; aiohttp's own way cuts off bodies that are still coming."""
        for connection in self.server.connections if self.server is not None else ():
            if isinstance(connection, PlainHandler):
                connection.end_if_idle()

    async def _make_server(self) -> web.Server:
        # aiohttp has no setting for the class of the connections
        made = await super()._make_server()
        straight_to = self._straight_to

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            handler = straight_to.get(request.rel_url.raw_path)
            if handler is None or hdrs.EXPECT in request.headers:
                return await made.request_handler(request)
            return await handler(request)

        return PlainServer(
            handle if straight_to else made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # noqa: SLF001
        )
