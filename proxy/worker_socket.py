"""The worker's WebSockets at the proxy's address: messages are handed on in both directions."""

import asyncio

import aiohttp
from aiohttp import web

from proxy import upgrade
from proxy.refusals import problem
from proxy.worker_api import WorkerApi

_HEARTBEAT_S = 30.0
_MAX_MESSAGE_BYTES = 1024 * 1024
_OFFER_S = 5.0
_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class WorkerSocket:
    """Joins a listener's socket and one to the worker; when either ends, so does the other."""

    def __init__(self, session: aiohttp.ClientSession, worker: WorkerApi) -> None:
        self._session = session
        self._worker = worker
        self._open: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one listener until it or the worker leaves; without a worker, answer with a problem document."""
        if (refused := upgrade.refused(request)) is not None:
            return refused
        url = self._worker.url(request)
        try:
            async with asyncio.timeout(_OFFER_S):
                worker = await self._session.ws_connect(url, max_msg_size=_MAX_MESSAGE_BYTES, heartbeat=_HEARTBEAT_S)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return problem(503, "Worker unavailable", f"The worker at {url.origin()} takes no listeners: {error}")
        async with worker:
            return await self._join(request, worker)

    async def close(self, _app: web.Application | None = None) -> None:
        """Say goodbye to all listeners."""
        goodbyes = (socket.close(code=aiohttp.WSCloseCode.GOING_AWAY) for socket in self._open)
        await asyncio.gather(*goodbyes, return_exceptions=True)

    async def _join(self, request: web.Request, worker: aiohttp.ClientWebSocketResponse) -> web.StreamResponse:
        listener = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, max_msg_size=_MAX_MESSAGE_BYTES, compress=False)
        await listener.prepare(request)
        self._open.add(listener)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(worker, listener))
                both.create_task(_pump(listener, worker))
        finally:
            self._open.discard(listener)
        return listener


async def _pump(source: _Socket, target: _Socket) -> None:
    """Hand messages on until `source` ends; then end `target` the same way."""
    try:
        async for message in source:
            if message.type is aiohttp.WSMsgType.TEXT:
                await target.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await target.send_bytes(message.data)
    except (ConnectionError, aiohttp.ClientError):
        pass  # the target has gone, which its own pump sees
    await target.close(code=_sendable(source.close_code))


def _sendable(code: int | None) -> int:
    """Return a close code that may be sent: 1005, 1006 and 1015 say that none was received (RFC 6455, 7.4.1)."""
    return aiohttp.WSCloseCode.GOING_AWAY if code is None or code in {1005, 1006, 1015} else code
