"""/ws/crosstalk/{id}: what was said so far, each turn as it is had, and how it ended. Listeners have their own pace."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp import web

from data.errors import DataError
from data.tasks import Tasks
from proxy import upgrade
from proxy.crosstalk import shown
from proxy.crosstalk.following import News

SEND_LIMIT_S = 5.0
MAX_LISTENERS: Final = 100


class CrosstalkSocket:
    """The WebSocket's handler. `follow` gives a conversation's news by the request, or raises what is wrong with it."""

    def __init__(self, follow: Callable[[web.Request], News]) -> None:
        self._follow = follow
        self._open: set[web.WebSocketResponse] = set()
        self._sends = Tasks()
        self.dropped = 0  # listeners that did not read

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._open)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one listener until the conversation ends or it leaves. Raises NoSuchCrosstalk, StoreError."""
        if (refused := upgrade.refused(request)) is not None:
            return refused
        news = self._follow(request)
        await news.read(0)  # one that does not exist is answered with a problem
        socket = web.WebSocketResponse(heartbeat=30.0, max_msg_size=4096, compress=False)
        await socket.prepare(request)
        if len(self._open) >= MAX_LISTENERS:
            await socket.close(code=aiohttp.WSCloseCode.TRY_AGAIN_LATER, message=b"too many listeners")
            return socket
        self._open.add(socket)
        telling = self._sends.start(self._tell(socket, news, request.transport), name="crosstalk listener")
        listening = self._sends.start(_until_it_leaves(socket), name="crosstalk listener's side")
        try:
            await asyncio.wait({telling, listening}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                await socket.close(code=telling.result())
        finally:
            telling.cancel()
            listening.cancel()
            self._open.discard(socket)
        return socket

    async def close(self) -> None:
        """Say goodbye to all listeners."""
        goodbyes = (socket.close(code=aiohttp.WSCloseCode.GOING_AWAY) for socket in self._open)
        await asyncio.gather(*goodbyes, return_exceptions=True)
        await self._sends.stop()

    async def _tell(self, socket: web.WebSocketResponse, news: News, transport: asyncio.BaseTransport | None) -> int:
        """Send all there is; return the code to close with. Who does not read is cut off."""
        try:
            await _everything(socket, news)
        except DataError:
            return aiohttp.WSCloseCode.TRY_AGAIN_LATER  # the store does not answer
        except TimeoutError:
            self.dropped += 1
        except (ConnectionError, aiohttp.ClientError):
            pass
        else:
            return aiohttp.WSCloseCode.OK
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
        return aiohttp.WSCloseCode.GOING_AWAY


async def _until_it_leaves(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass  # listeners have nothing to say


async def _everything(socket: web.WebSocketResponse, news: News) -> None:
    state, _, _ = await news.read(0)
    await _send(socket, {"type": "session", "session": state})
    seen = 0
    while True:
        state, said, over = await news.read(seen)
        for message in said:
            await _send(socket, {"type": "message", "message": message})
            seen = message["turn"]
        if over:
            break
        if not said:
            await news.change()
    await _send(socket, {"type": "end", "session": state})


async def _send(socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
    async with asyncio.timeout(SEND_LIMIT_S):
        await socket.send_frame(shown.encoded(message), aiohttp.WSMsgType.TEXT)
