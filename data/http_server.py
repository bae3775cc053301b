"""An HTTP server whose answer to what is not HTTP repeats nothing of it."""

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class PlainHandler(RequestHandler):
    """One connection. aiohttp's own would send the bytes that it could not parse back, and log them."""

    __slots__ = ()

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


class PlainRunner(web.AppRunner):
    """Runs an application behind a `PlainServer`."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        # aiohttp has no setting for the class of the connections
        made = await super()._make_server()
        return PlainServer(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # noqa: SLF001
        )
