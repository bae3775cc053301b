"""/ws/live: one message a second to everybody who listens; who does not read is dropped."""

import asyncio
import time
from dataclasses import dataclass

import aiohttp
import msgspec
from aiohttp import web

from proxy.live import Live

INTERVAL_S = 1.0
SEND_LIMIT_S = 1.0
MAX_LISTENERS = 100
_encoder = msgspec.json.Encoder()


@dataclass(slots=True)
class _Listener:
    socket: web.WebSocketResponse
    transport: asyncio.BaseTransport | None
    seen: int = 0  # the newest feed item it was told


class LiveSocket:
    """The WebSocket's handler and its clock."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._listeners: list[_Listener] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one listener until it leaves."""
        socket = web.WebSocketResponse(heartbeat=30.0, max_msg_size=4096, compress=False)
        await socket.prepare(request)
        if len(self._listeners) >= MAX_LISTENERS:
            await socket.close(code=aiohttp.WSCloseCode.TRY_AGAIN_LATER, message=b"too many listeners")
            return socket
        listener = _Listener(socket, request.transport)
        self._listeners.append(listener)
        try:
            await self._tell(listener)
            async for _ in socket:
                pass  # listeners have nothing to say
        finally:
            self._drop(listener)
        return socket

    async def run(self) -> None:
        """Tell all listeners, once a second, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await asyncio.gather(*(self._tell(listener) for listener in self._listeners))

    async def close(self) -> None:
        """Say goodbye to all listeners."""
        goodbyes = (listener.socket.close(code=aiohttp.WSCloseCode.GOING_AWAY) for listener in self._listeners)
        await asyncio.gather(*goodbyes, return_exceptions=True)

    async def _tell(self, listener: _Listener) -> None:
        message = _encoder.encode(self._live.message(time.time(), after=listener.seen)).decode()
        listener.seen = self._live.newest
        try:
            async with asyncio.timeout(SEND_LIMIT_S):
                await listener.socket.send_str(message)
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            self._drop(listener)
            if isinstance(listener.transport, asyncio.WriteTransport):
                listener.transport.abort()

    def _drop(self, listener: _Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
